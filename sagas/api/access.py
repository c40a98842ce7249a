"""Who sees what and who may do what: a client its own executions, whoever has the permission all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rest_framework.exceptions import PermissionDenied

from sagas.definition.exceptions import UnknownExecution
from sagas.models import SagaExecution
from sagas.models.querysets import ExecutionQuerySet
from sagas.operations import Operation
from sagas.operations.permissions import NEEDS, PERSONAL, VIEW


@dataclass(frozen=True)
class Reader:
    """A client, and what it may see."""

    user: Any

    @property
    def sees_all(self) -> bool:
        """Everybody's executions, with errors and reasons."""
        return bool(self.user.has_perm(VIEW))

    @property
    def sees_personal_data(self) -> bool:
        """The values of personal keys."""
        return bool(self.user.has_perm(PERSONAL))

    def executions(self) -> ExecutionQuerySet:
        """Those that it may see."""
        everything: ExecutionQuerySet = SagaExecution.objects.all()
        return everything if self.sees_all else everything.filter(owner=self.user)

    def execution(self, saga_id: str) -> SagaExecution:
        """The one of this id; UnknownExecution also where it is somebody else's."""
        found = self.executions().with_id(saga_id).first()
        if found is None:
            raise UnknownExecution(saga_id)
        return found

    def check_may(self, operation: Operation) -> None:
        """PermissionDenied says which permission the act needs."""
        self._check_has(NEEDS[operation])

    def check_sees_all(self) -> None:
        """PermissionDenied says which permission that needs."""
        self._check_has(VIEW)

    def _check_has(self, permission: str) -> None:
        if not self.user.has_perm(permission):
            raise PermissionDenied(f"This needs the permission {permission}.")
