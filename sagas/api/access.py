"""Access control: the executions that a client may read and operate on, and the rate of its requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.settings import api_settings
from rest_framework.throttling import ScopedRateThrottle

from sagas.definition.exceptions import UnknownExecution
from sagas.models import SagaExecution
from sagas.models.querysets import ExecutionQuerySet
from sagas.operations import Operation
from sagas.operations.permissions import NEEDS, PERSONAL, VIEW

START, READ, OPERATION = "sagas.start", "sagas.read", "sagas.operation"
RATES = {START: "120/min", READ: "1200/min", OPERATION: "60/min"}


@dataclass(frozen=True)
class Reader:
    """The user of a request, with the checks of the user's permissions."""

    user: Any

    @property
    def sees_all(self) -> bool:
        """Whether the user may see all executions, with their errors and reasons."""
        return bool(self.user.has_perm(VIEW))

    @property
    def sees_personal_data(self) -> bool:
        """Whether the user may see the values of personal keys."""
        return bool(self.user.has_perm(PERSONAL))

    def executions(self) -> ExecutionQuerySet:
        """Return the executions that the user may see."""
        executions: ExecutionQuerySet = SagaExecution.objects.all()
        return executions if self.sees_all else executions.filter(owner=self.user)

    def execution(self, saga_id: str) -> SagaExecution:
        """Return the execution. Raise UnknownExecution if it does not exist or the user may not see it."""
        execution = self.executions().with_id(saga_id).first()
        if execution is None:
            raise UnknownExecution(saga_id)
        return execution

    def check_may(self, operation: Operation) -> None:
        """Raise PermissionDenied unless the user has the operation's permission."""
        self._check_permission(NEEDS[operation])

    def check_sees_all(self) -> None:
        """Raise PermissionDenied unless the user may see all executions."""
        self._check_permission(VIEW)

    def _check_permission(self, permission: str) -> None:
        if not self.user.has_perm(permission):
            raise PermissionDenied(f"The permission {permission} is required.")


class SagaThrottle(ScopedRateThrottle):
    """Counts the requests of each client for each scope, in Django's default cache. The view defines the scope.

    The project's DEFAULT_THROTTLE_RATES overrides RATES.
    """

    def get_rate(self) -> str | None:
        """Return the rate of the scope, or None for no limit."""
        rates: dict[str, Any] = RATES | api_settings.DEFAULT_THROTTLE_RATES
        rate: str | None = rates[str(self.scope)]
        return rate
