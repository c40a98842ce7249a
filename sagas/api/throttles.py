"""How often a client may ask, unless the host's DEFAULT_THROTTLE_RATES says otherwise for these scopes."""

from __future__ import annotations

from typing import Any

from rest_framework.settings import api_settings
from rest_framework.throttling import ScopedRateThrottle

START, READ, ACT = "sagas.start", "sagas.read", "sagas.act"
RATES = {START: "120/min", READ: "1200/min", ACT: "60/min"}


class SagaThrottle(ScopedRateThrottle):
    """Counts each client's requests, by the scope that the view names, in Django's default cache."""

    def get_rate(self) -> str | None:
        """The host's rate for the scope, or ours; None = as often as they like."""
        rates: dict[str, Any] = RATES | api_settings.DEFAULT_THROTTLE_RATES
        rate: str | None = rates[str(self.scope)]
        return rate
