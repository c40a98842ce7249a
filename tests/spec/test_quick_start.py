"""The quick start of the README runs in a `db` test, twice in one process."""

import pytest


@pytest.mark.parametrize("time", ["first", "second"])
@pytest.mark.django_db(databases=["default", "sandbox"])
def test_the_quick_start_runs(time, capsys):
    for _ in range(2):
        from sagaproject.bookings.sagas import CREATE_BOOKING_SAGA
        from sagas.orchestrator import get_saga_orchestrator

        orchestrator = get_saga_orchestrator()
        execution = orchestrator.execute(
            saga_id="booking_001", saga_name="create_booking", steps=CREATE_BOOKING_SAGA,
            context={"sale_id": "SALE-001", "customer_name": "Ana Souza", "customer_email": "customer@example.com",
                     "customer_phone": "+5511987654321", "customer_document": "529.982.247-25",
                     "description": "City tour", "amount": "420.00", "starts_at": "2026-12-01T10:00:00-03:00",
                     "ends_at": "2026-12-01T12:00:00-03:00"})  # fmt: skip
        if execution.state.value == "succeeded":
            print("Booking created")
        else:
            print(execution.failed_step, execution.compensation_performed)
        stats = orchestrator.get_stats()
        print(f"{stats['success_rate']:.0%} {stats['avg_duration_seconds']:.2f}s")
        print(orchestrator.print_stats())

        told = capsys.readouterr().out.splitlines()
        assert told[0] == "Booking created"
        assert told[1].startswith("100% ")
        assert told[2].split()[:3] == ["all", "1", "started"]
        assert stats["total"] == 1


@pytest.mark.django_db
def test_the_quick_start_runs_with_the_db_fixture(db):
    from sagaproject.bookings.sagas import CREATE_BOOKING_SAGA
    from sagas.orchestrator import get_saga_orchestrator

    execution = get_saga_orchestrator().execute(
        "booking_002",
        "create_booking",
        CREATE_BOOKING_SAGA,
        {
            "sale_id": "SALE-002",
            "customer_name": "Ana Souza",
            "customer_email": "customer@example.com",
            "customer_document": "529.982.247-25",
            "description": "City tour",
            "amount": "420.00",
            "starts_at": "2026-12-01T10:00:00-03:00",
            "ends_at": "2026-12-01T12:00:00-03:00",
        },
    )

    assert execution.state.value == "succeeded"
    assert execution.step_executions.get(step="send_whatsapp").output == {
        "skipped": "the customer gave no telephone number"
    }
