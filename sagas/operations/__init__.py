"""What people may do to an execution: which acts its state allows, what each would do, and doing it.

Every surface (admin, API, commands, the orchestrator) asks here, so all of them allow and say the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext

from sagas import checkpoints, histories, values
from sagas.exceptions import ActOutdated, ActRefused
from sagas.logs import log
from sagas.models import SagaExecution
from sagas.states import Resolution, SagaState

from .performers import PERFORMERS, Stale
from .previews import PREVIEWS
from .refusals import REFUSALS, why_not_resolve_step
from .remarks import note, reveal
from .situation import PYTHON, Act, By, Call, Preview, Situation, look

__all__ = [
    "PYTHON",
    "Act",
    "By",
    "Call",
    "Preview",
    "allowed",
    "note",
    "perform",
    "plan",
    "refusals",
    "resolutions",
    "reveal",
]

TRIES = 20


def allowed(saga_id: str) -> tuple[Act, ...]:
    """The acts that the execution's state allows now."""
    return _allowed(look(saga_id))


def refusals(situation: Situation) -> dict[Act, str]:
    """Each act with the sentence why it is not possible in this situation, "" for those that are."""
    return {act: refusal(situation) for act, refusal in REFUSALS.items()}


def resolutions(saga_id: str) -> tuple[tuple[str, Resolution], ...]:
    """Each step with each word of a person on it that would be taken now and can be true, where any would be."""
    situation = look(saga_id)
    views = histories.views_of(situation.history)
    pairs = [(step, word) for step in situation.history.plan for word in Resolution]
    possible = [(step, word) for step, word in pairs if not (views[step].done and word is Resolution.NOT_DONE)]
    return tuple(pair for pair in possible if not why_not_resolve_step(situation, *pair))


def plan(act: Act, saga_id: str, **parameters: Any) -> Preview:
    """What the act would do now; ActRefused if the state does not allow it. Writes nothing."""
    situation = _checked(Act(act), saga_id, None, parameters)
    sentence, calls = PREVIEWS[Act(act)](situation)
    keep = () if act is Act.RETRY and situation.state is SagaState.FAILED else situation.execution.steps_completed
    not_repeated = tuple(name for name in keep if name not in {call.step for call in calls})
    doubt = tuple(histories.in_doubt(situation.history))
    return Preview(Act(act), saga_id, situation.execution.version, sentence, tuple(calls), not_repeated, doubt)


def perform(
    act: Act,
    saga_id: str,
    *,
    reason: str = "",
    by: By = PYTHON,
    version: int | None = None,
    **parameters: Any,
) -> SagaExecution:
    """Do it, once, with a SagaEvent that tells who, why and what changed; what follows is queued for the workers.

    `version`, where given, must still be the execution's. `resolve` takes step, outcome, output and evidence,
    `correct` takes context. Raises ActRefused (ActOutdated if the version has moved), UnknownExecution, InvalidInput.
    """
    act = Act(act)
    for _ in range(TRIES):
        situation = _checked(act, saga_id, version, parameters)
        try:
            execution = PERFORMERS[act](situation, by, values.clean_text(reason), **parameters)
        except Stale:
            continue
        except checkpoints.Unsettled as error:
            sentence = gettext("what follows from it could not be written down: %(error)s") % {"error": error}
            raise ActRefused(act, saga_id, sentence) from error
        log(
            logging.INFO,
            "act.performed",
            act=act,
            saga_id=saga_id,
            saga=execution.saga_name,
            source=by.source,
        )
        return execution
    raise ActRefused(act, saga_id, gettext("it keeps moving; look again and try then."))


def _checked(act: Act, saga_id: str, version: int | None, parameters: Mapping[str, Any]) -> Situation:
    situation = look(saga_id, bound=version is not None)
    if version is not None and situation.execution.version != version:
        sentence = gettext("it has moved since you looked; look again and decide then.")
        raise ActOutdated(act, saga_id, sentence, _allowed(situation))
    sentence = REFUSALS[act](situation)
    if not sentence and act is Act.RESOLVE and parameters:
        sentence = why_not_resolve_step(situation, **parameters)
    if sentence:
        raise ActRefused(act, saga_id, sentence, _allowed(situation))
    return situation


def _allowed(situation: Situation) -> tuple[Act, ...]:
    return tuple(act for act, refusal in REFUSALS.items() if not refusal(situation))
