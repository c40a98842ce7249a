"""The admin pages show the rows and allow no changes."""

import pytest
from django.db.models.expressions import RawSQL
from django.utils import timezone

from sagas.models import SagaExecution, SagaWorker
from tests.support import run


@pytest.fixture
def rows(stage, db):
    """Return one row per model, with a text that its page must show."""
    execution = run(stage.step("a"), saga_id="shown")
    now = timezone.now()
    worker = SagaWorker.objects.create(
        name="host:1:abc", host="host", pid=1, process_group=1, cluster="sagas", started_at=now, seen_at=now, free=8
    )
    return {SagaExecution: (execution, "shown"), SagaWorker: (worker, "host:1:abc")}


@pytest.mark.parametrize("model", [SagaExecution, SagaWorker])
def test_a_row_is_listed_and_shown_and_not_touched(admin_client, rows, model):
    row, name = rows[model]
    path = f"/admin/sagas/{model._meta.model_name}/"

    assert name in admin_client.get(path).content.decode()
    assert name in admin_client.get(f"{path}{row.pk}/change/").content.decode()
    for operation in ("add/", f"{row.pk}/change/", f"{row.pk}/delete/"):
        assert admin_client.post(path + operation, {"post": "yes"}).status_code == 403


def test_a_row_with_an_unreadable_context_is_listed_and_shown(admin_client, stage, db):
    broken, _ = run(stage.step("a"), saga_id="broken"), run(stage.step("a"), saga_id="fine")
    SagaExecution.objects.filter(pk=broken.pk).update(context=RawSQL("%s", ["{"]))

    listed = admin_client.get("/admin/sagas/sagaexecution/").content.decode()

    assert "broken" in listed
    assert "fine" in listed
    assert "broken" in admin_client.get(f"/admin/sagas/sagaexecution/{broken.pk}/change/").content.decode()
