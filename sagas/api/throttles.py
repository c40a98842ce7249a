"""Rate limits per client. The project's DEFAULT_THROTTLE_RATES overrides them by scope."""

from __future__ import annotations

from typing import Any

from rest_framework.settings import api_settings
from rest_framework.throttling import ScopedRateThrottle

START, READ, OPERATION = "sagas.start", "sagas.read", "sagas.operation"
RATES = {START: "120/min", READ: "1200/min", OPERATION: "60/min"}


class SagaThrottle(ScopedRateThrottle):
    """Counts each client's requests by the view's scope, in Django's default cache."""

    def get_rate(self) -> str | None:
        """Return the rate of the scope; None means no limit."""
        rates: dict[str, Any] = RATES | api_settings.DEFAULT_THROTTLE_RATES
        rate: str | None = rates[str(self.scope)]
        return rate
