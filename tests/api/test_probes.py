"""What whoever runs the site asks of it."""

from sagas.orchestrator import get_saga_orchestrator


def test_it_lives_and_is_ready_without_a_name(anonymous, db):
    assert anonymous.get("/livez").json() == {"status": "ok"}
    assert anonymous.get("/readyz").json() == {"status": "ok"}


def test_numbers_are_for_those_who_see_all(ana, anonymous, db):
    assert anonymous.get("/metrics").status_code == 401
    assert ana.get("/metrics").status_code == 403


def test_numbers_tell_how_sagas_stand_and_what_waits(support, start):
    get_saga_orchestrator().resume(start())
    start()
    response = support.get("/metrics")

    lines = response.content.decode().splitlines()
    assert response["Content-Type"].startswith("text/plain; version=")
    assert 'sagas_executions{saga="order",state="succeeded"} 1.0' in lines
    assert "sagas_due 1.0" in lines
    assert "sagas_needs_attention 0.0" in lines
    assert "sagas_workers 0.0" in lines
