"""What the steps call, and how that goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode

from sagas.definition.registry import all_sagas
from sagas.definition.saga import Saga, SagaStep
from sagas.models import Provider
from sagas.presentation.labels import label_of, name_label, step_label_anywhere

from .base import Desk
from .provider_calls import Standing, Tally, numbers, steps_by_provider

WIDTH, LEAST = 1000, 10
KINDS = ("good", "refused", "failed", "uncertain")


@dataclass(frozen=True)
class Part:
    """A part of a bar."""

    kind: str
    x: int
    width: int


@dataclass(frozen=True)
class Span:
    """A span of time as the page shows it."""

    tally: Tally
    bar: list[Part]

    @property
    def slowest(self) -> str:
        """The step with the highest percentile, in words."""
        return step_label_anywhere(self.tally.slowest, all_sagas().values())


@dataclass(frozen=True)
class Shown:
    """A provider as the page shows it: `waiting` is the address of what waits for it, `steps` are those that call it,
    with the address of the executions that failed there."""

    title: str
    steps: list[tuple[str, str]]
    standing: Standing
    waiting: str
    day: Span
    hour: Span


@admin.register(Provider)
class ProviderAdmin(Desk):
    """What the steps call, and how that goes."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = numbers()
        shown = list(_shown(now.providers))
        return self.page(request, "admin/sagas/providers.html", numbers=now, providers=shown, width=WIDTH)


def _shown(providers: Mapping[str, Standing]) -> Iterator[Shown]:
    """Those that are registered here and were when they were looked at."""
    for name, steps in steps_by_provider().items():
        standing = providers.get(name)
        if standing:
            told = [(_step_in_words(saga, step), _list(saga=saga.name, failed_step=step.name)) for saga, step in steps]
            waiting = _list(waits_for=name)
            yield Shown(_title(steps), told, standing, waiting, _span(standing.day), _span(standing.hour))


def _title(steps: list[tuple[Saga, SagaStep]]) -> str:
    return label_of(steps[0][1])


def _step_in_words(saga: Saga, step: SagaStep) -> str:
    return f"{name_label(saga.name)}: {label_of(step)}"


def _list(**asked: str) -> str:
    return f"{reverse('admin:sagas_sagaexecution_changelist')}?{urlencode(asked)}"


def _span(tally: Tally) -> Span:
    """With a bar in which also the least can be seen: the largest part makes room for the others."""
    counts = {kind: getattr(tally, kind) for kind in KINDS if getattr(tally, kind)}
    widths = {kind: max(LEAST, WIDTH * count // tally.calls) for kind, count in counts.items()}
    if widths:
        widths[max(widths, key=widths.__getitem__)] -= sum(widths.values()) - WIDTH
    starts = accumulate(widths.values(), initial=0)
    return Span(tally, [Part(kind, x, width) for x, (kind, width) in zip(starts, widths.items(), strict=False)])
