"""Steps for small test sagas. Their effects are rows in the ledger of the sandbox."""

from dataclasses import dataclass
from typing import Any

from integrations import ledger
from integrations.models import EffectState
from integrations.sandbox import Sandbox, probes
from sagas import Saga, SagaStep, StepFailed, StillPending
from sagas.testing import Call, Effect


class Toy(Sandbox):
    """A provider that does not deduplicate calls with the same key."""

    port = "email"


def operation(context):
    """Add one more effect with each call. This action is not idempotent."""
    with Toy().call("act", key=context.idempotency_key, deadline=context.deadline, request={}):
        ledger.append("email", "act", context.idempotency_key, {}, state=EffectState.DONE, external_id="")
    return {"acted": context.step}


def act_once(context):
    """Add the effect if it does not exist. This action is idempotent."""
    with Toy().call("act", key=context.idempotency_key, deadline=context.deadline, request={}):
        ledger.ensure("email", "act", context.idempotency_key, {}, state=EffectState.DONE, external_id="")
    return {context.step: "done"}


def act_slowly(context):
    """Add the effect, and report it as pending until the third call."""
    act_once(context)
    calls = (context.output or {}).get("calls", 0) + 1
    if calls < 3:
        raise StillPending(0.01, output={"calls": calls})


def undo(context):
    """Cancel all effects of the action."""
    with Toy().call("undo", key=context.idempotency_key, deadline=context.deadline, request={}):
        rows = ledger.effects().filter(operation="act", idempotency_key=context.action_key)
        rows.update(state=EffectState.CANCELED)


def look(context):
    """Verify the action: return its output if the ledger has its effect, else None."""
    found = ledger.effects().filter(operation="act", idempotency_key=context.action_key, state=EffectState.DONE)
    return {"acted": context.step} if found.exists() else None


def refuse(context):
    raise StepFailed("no")


@dataclass(frozen=True)
class ToyProviders:
    """The providers of the toy steps. They count effects in the ledger of the sandbox."""

    def watch(self, tell: Any) -> None:
        probes.append(lambda moment, port, operation, key: tell(Call(moment, operation, key)))

    def effects(self, execution):
        return {name: self.effect(f"{execution.saga_id}:{execution.run}:{name}") for name in execution.plan}

    def effect(self, key):
        rows = ledger.effects().filter(operation="act", idempotency_key=key)
        states = list(rows.values_list("state", flat=True))
        undone = states.count(EffectState.CANCELED)
        return Effect(len(states), undone, remains=len(states) > undone)


def nothing(_: str) -> dict[str, Any]:
    return {}


def toy(*steps: SagaStep) -> Saga:
    return Saga("toy", steps)


def step(name: str, action: Any = act_once, compensation: Any = undo, **options: Any) -> SagaStep:
    options = {"timeout": 5.0, "retry_delay": 0.01, "retry_count": 1} | options
    return SagaStep(name, action, compensation, **options)
