"""The page of providers: calls, errors, and executions that wait for each provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from sagas.definition.registry import all_sagas
from sagas.models import Provider
from sagas.presentation.labels import label_of, name_label, step_label_anywhere

from .base import Desk, executions_url
from .provider_calls import ProviderStats, Tally, latest_stats, steps_by_provider

WIDTH, MIN_WIDTH = 1000, 10
KINDS = ("good", "refused", "failed", "uncertain")


@dataclass(frozen=True)
class Part:
    """One part of a bar. `x` and `width` are of WIDTH."""

    kind: str
    x: int
    width: int


@dataclass(frozen=True)
class Span:
    """The calls in a period, and the bar that shows them."""

    tally: Tally
    bar: list[Part]

    @property
    def slowest(self) -> str:
        """The label of the step with the highest p95."""
        return step_label_anywhere(self.tally.slowest, all_sagas().values())


@dataclass(frozen=True)
class ShownProvider:
    """A provider as the page shows it.

    `waiting` is the URL of the executions that wait for the provider. `steps` has the label of each step and the URL of
    the executions that failed there.
    """

    title: str
    steps: list[tuple[str, str]]
    stats: ProviderStats
    waiting: str
    day: Span
    hour: Span


@admin.register(Provider)
class ProviderAdmin(Desk):
    """The page of the providers that registered steps call."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Render the page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        stats = latest_stats()
        shown = list(_shown(stats.providers))
        return self.page(request, "admin/sagas/providers.html", stats=stats, providers=shown, width=WIDTH)


def _shown(providers: Mapping[str, ProviderStats]) -> Iterator[ShownProvider]:
    """Yield the providers that are registered now and have statistics."""
    for name, steps in steps_by_provider().items():
        stats = providers.get(name)
        if not stats:
            continue
        links = []
        for saga, step in steps:
            label = f"{name_label(saga.name)}: {label_of(step)}"
            links.append((label, executions_url(saga=saga.name, failed_step=step.name)))
        waiting = executions_url(waits_for=name)
        yield ShownProvider(label_of(steps[0][1]), links, stats, waiting, _span(stats.day), _span(stats.hour))


def _span(tally: Tally) -> Span:
    """Return the calls with their bar. Each part is at least MIN_WIDTH wide; the largest part shrinks for this."""
    counts = {kind: getattr(tally, kind) for kind in KINDS if getattr(tally, kind)}
    widths = {kind: max(MIN_WIDTH, WIDTH * count // tally.calls) for kind, count in counts.items()}
    if widths:
        widths[max(widths, key=widths.__getitem__)] -= sum(widths.values()) - WIDTH
    starts = accumulate(widths.values(), initial=0)
    return Span(tally, [Part(kind, x, width) for x, (kind, width) in zip(starts, widths.items(), strict=False)])
