"""`path("api/v1/", include("sagas.api.urls"))` in the host's urls; probes are in `sagas.api.probes`."""

from __future__ import annotations

from django.urls import path

from sagas.operations import Operation

from . import views

app_name = "sagas-api"

PLAIN = (
    Operation.RETRY,
    Operation.CANCEL,
    Operation.COMPENSATE,
    Operation.HOLD,
    Operation.RELEASE,
    Operation.VERIFY,
    Operation.ACKNOWLEDGE,
)

urlpatterns = [
    path("sagas/", views.Sagas.as_view(), name="sagas"),
    path("executions/", views.Executions.as_view(), name="executions"),
    path("executions/<str:saga_id>/", views.Execution.as_view(), name="execution"),
    path("executions/<str:saga_id>/history/", views.History.as_view(), name="history"),
    path("executions/<str:saga_id>/preview/", views.PreviewOfAct.as_view(), name="preview"),
    *(
        path(f"executions/<str:saga_id>/{operation}/", views.ActOn.as_view(operation=operation), name=operation.value)
        for operation in PLAIN
    ),
    path("executions/<str:saga_id>/steps/<str:step>/resolve/", views.ResolveStep.as_view(), name="resolve"),
    path("stats/", views.Stats.as_view(), name="stats"),
]
