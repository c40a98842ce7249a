"""HTTP calls to the provider, and the classification of its replies."""

from __future__ import annotations

import json
import os
from http.client import HTTPConnection
from typing import Any

from sagas import OutcomeUnknown, RetryLater, StepContext, StepFailed
from sagas.definition.registry import get_saga

UNAVAILABLE = 503
AGAIN_AFTER = 0.3
Answer = dict[str, Any]


def call(context: StepContext, asks: str, *, key: str | None = None, **asked: Any) -> Answer:
    """Call the provider within the remaining time of the attempt.

    The engine classifies connection errors: a refused connection is a failure, a reset one is in doubt.
    """
    remaining = context.remaining
    if not remaining:
        raise RetryLater(0, "no time left for the call")
    connection = HTTPConnection("127.0.0.1", int(os.environ["CHAOS_PROVIDER"]), timeout=remaining)
    try:
        key = key or context.idempotency_key
        body = json.dumps(_identity(context, key) | {"remaining": remaining} | asked)
        connection.request("POST", "/" + asks.replace(".", "/"), body, {"Idempotency-Key": key})
        response = connection.getresponse()
        return _answer(response.status, json.loads(response.read()))
    finally:
        connection.close()


def _identity(context: StepContext, key: str) -> Answer:
    place = get_saga(context["saga"]).names.index(context.step)
    # Only actions are refused. The compensation that sends an apology is never refused.
    refuse = context["refused"] == context.step and not key.endswith(":undo")
    who = {"saga": context.saga_id, "step": context.step, "place": place}
    return who | {"deadline": context.deadline.timestamp(), "refuse": refuse}


def _answer(status: int, answer: Answer) -> Answer:
    if status < 300:
        return answer
    sentence = answer["error"]
    if status == UNAVAILABLE:
        raise RetryLater(AGAIN_AFTER, sentence)
    raise (StepFailed if status < 500 else OutcomeUnknown)(sentence)
