"""URL patterns of the API: `path("api/v1/", include("sagas.api.urls"))`."""

from __future__ import annotations

from django.urls import path

from sagas.operations import Operation

from . import views

app_name = "sagas-api"

WITH_REASON_ONLY = (
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
    path("executions/<str:saga_id>/preview/", views.OperationPreview.as_view(), name="preview"),
    *(
        path(
            f"executions/<str:saga_id>/{operation}/",
            views.PerformOperation.as_view(operation=operation),
            name=operation.value,
        )
        for operation in WITH_REASON_ONLY
    ),
    path("executions/<str:saga_id>/steps/<str:step>/resolve/", views.ResolveStep.as_view(), name="resolve"),
    path("stats/", views.Stats.as_view(), name="stats"),
]
