"""The keys of settings.SAGAS, with their defaults and checks. The settings are read at first use, not at import."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from sagas.definition.exceptions import SettingsError

BROKER = "sagas.worker.SagaBroker"


def _seconds(*, more_than: float) -> Callable[[Any], str]:
    def problem(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return "must be a number of seconds"
        return "" if value > more_than else f"must be more than {more_than:g} seconds"

    return problem


def _must_be(expected: str, accepts: Callable[[Any], bool]) -> Callable[[Any], str]:
    """Return a check of a value. The check returns "" or the problem, as the end of a sentence."""
    return lambda value: "" if accepts(value) else f"must be {expected}"


def _count(*, at_least: int) -> Callable[[Any], str]:
    return _must_be(
        f"a whole number of at least {at_least}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= at_least,
    )


_flag = _must_be("True or False", lambda value: isinstance(value, bool))
_dsn = _must_be("a connection string or None", lambda value: value is None or (isinstance(value, str) and value != ""))
_class = _must_be(
    "a dotted class name such as 'shop.Providers' or None",
    lambda value: value is None or (isinstance(value, str) and "." in value),
)
_names = _must_be(
    "a list of dotted class names such as 'provider.errors.Lost'",
    lambda value: isinstance(value, (list, tuple)) and all(isinstance(name, str) and "." in name for name in value),
)
_currency = _must_be(
    "the ISO 4217 code of a currency, such as 'USD'",
    lambda value: isinstance(value, str) and len(value) == 3 and value.isascii() and value.isupper(),
)


def _key(default: Any, problem: Callable[[Any], str]) -> Any:
    return field(default=default, metadata={"problem": problem})


@dataclass(frozen=True)
class Settings:
    """The values of settings.SAGAS, with defaults. Durations are in seconds."""

    LEASE: float = _key(60.0, _seconds(more_than=0))
    HEARTBEAT: float = _key(15.0, _seconds(more_than=0))
    GRACE: float = _key(2.0, _seconds(more_than=0))
    WORKER_THREADS: int = _key(8, _count(at_least=1))
    MAX_RECOVERIES: int = _key(3, _count(at_least=1))
    DRAIN_SECONDS: float = _key(30.0, _seconds(more_than=0))
    POLL: float = _key(1.0, _seconds(more_than=0))
    AGEING: float = _key(600.0, _seconds(more_than=0))
    COMPENSATION_PATIENCE: float = _key(86400.0, _seconds(more_than=0))
    MAX_CONTEXT_BYTES: int = _key(262144, _count(at_least=1024))
    UNCERTAIN_EXCEPTIONS: tuple[str, ...] = _key((), _names)
    LISTEN_DSN: str | None = _key(None, _dsn)
    NOTIFY: bool = _key(True, _flag)
    PROOF_PROVIDERS: str | None = _key(None, _class)
    CURRENCY: str = _key("USD", _currency)
    API_WAITERS: int = _key(4, _count(at_least=0))
    BULK_AT_ONCE: int = _key(10, _count(at_least=1))

    @property
    def beat(self) -> float:
        """The seconds between two renewals of a lease: HEARTBEAT, but at most a quarter of LEASE."""
        return min(self.HEARTBEAT, self.LEASE / 4)


def problems() -> list[str]:
    """Return one sentence for each problem of settings.SAGAS."""
    given = getattr(django_settings, "SAGAS", {})
    if not isinstance(given, dict):
        return [f"SAGAS must be a dictionary, not {type(given).__name__}."]
    known = {key.name: key.metadata["problem"] for key in fields(Settings)}
    found = [f"SAGAS has the unknown key {key!r}. Known: {', '.join(known)}." for key in given if key not in known]
    for name, value in given.items():
        problem = known[name](value) if name in known else ""
        if problem:
            found.append(f"SAGAS[{name!r}] {problem}, not {value!r}.")
    return found


def clusters() -> dict[str, dict[str, Any]]:
    """Map the name of each django-q2 cluster to its settings. The main cluster is first."""
    main = getattr(django_settings, "Q_CLUSTER", None) or {}
    named = {str(main.get("cluster_name", main.get("name", "default"))): main}
    return named | {name: {**main, **other} for name, other in (main.get("ALT_CLUSTERS") or {}).items()}


def runs_sagas(cluster: dict[str, Any]) -> bool:
    """Return whether a cluster with these settings runs sagas."""
    return cluster.get("broker_class") == BROKER


def saga_cluster() -> dict[str, Any] | None:
    """Return the settings of the first django-q2 cluster that runs sagas, or None."""
    return next(filter(runs_sagas, clusters().values()), None)


@cache
def get_settings() -> Settings:
    """Return the current settings. Raise SettingsError if they have a problem."""
    found = problems()
    if found:
        raise SettingsError(" ".join(found))
    given = dict(getattr(django_settings, "SAGAS", {}))
    given["UNCERTAIN_EXCEPTIONS"] = tuple(given.get("UNCERTAIN_EXCEPTIONS", ()))
    return Settings(**given)


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "SAGAS":
        get_settings.cache_clear()


setting_changed.connect(_forget)
