"""`saga_stats` prints the number of executions and how they ended."""


def test_numbers_of_an_empty_database(command):
    said = command("saga_stats")

    assert said.lines == [
        "all                        0 started    0.0% of the finished succeeded  avg 0.00 s  p50 0.00 s  p95 0.00 s",
        "pending 0  in progress 0  compensating 0  succeeded 0  failed 0  partially compensated 0",
    ]
    assert said.code == 0


def test_numbers_as_one_document(command, partially_compensated):
    said = command("saga_stats", "--json")

    assert said.document["total"] == said.document["sagas"]["create_booking"]["total"] == 1
    assert said.document["by_state"]["partially_compensated"] == 1
    assert said.document["success_rate"] == 0.0
    assert said.code == 0
