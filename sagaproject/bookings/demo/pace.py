"""The pace of what visitors book in the demo: slow enough to be watched."""

from integrations.models import FaultMode, SandboxFault

# Ids of sagas that the booking page starts begin so; no scene's does.
VISITORS = ("booking-SALE-", "payment-SALE-")
LATENCY_MS = 900
ALWAYS = 1_000_000


def slow_down_for_visitors() -> None:
    """Let every call of a provider take its time, for them alone."""
    for match in VISITORS:
        SandboxFault.objects.get_or_create(
            mode=FaultMode.LATENCY, match=match, defaults={"latency_ms": LATENCY_MS, "remaining": ALWAYS}
        )
