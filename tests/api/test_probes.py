"""The health probes and the metrics."""

from sagas.orchestrator import get_saga_orchestrator


def test_probes_need_no_authentication(anonymous, db):
    assert anonymous.get("/livez").json() == {"status": "ok"}
    assert anonymous.get("/readyz").json() == {"status": "ok"}


def test_metrics_need_the_permission_to_view_all(ana, anonymous, db):
    assert anonymous.get("/metrics").status_code == 401
    assert ana.get("/metrics").status_code == 403


def test_metrics_count_executions_by_state(support, start):
    get_saga_orchestrator().resume(start())
    start()
    response = support.get("/metrics")

    lines = response.content.decode().splitlines()
    assert response["Content-Type"].startswith("text/plain; version=")
    assert 'sagas_executions{saga="order",state="succeeded"} 1.0' in lines
    assert "sagas_due 1.0" in lines
    assert "sagas_needs_attention 0.0" in lines
    assert "sagas_workers 0.0" in lines
