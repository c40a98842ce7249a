"""The README's example of a test is one."""

import re
from pathlib import Path

import pytest

from sagas import Saga, SagaState, SagaStep
from sagas.orchestrator import get_saga_orchestrator

pytest_plugins = ["sagas.testing.fixtures"]
README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
EXAMPLE = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "saga_world" in block)
NAMES = {
    "Saga": Saga,
    "SagaState": SagaState,
    "SagaStep": SagaStep,
    "get_saga_orchestrator": get_saga_orchestrator,
}


@pytest.mark.django_db
def test_the_readmes_example_passes(db, saga_world, saga_clock):
    names = dict(NAMES)
    exec(compile(EXAMPLE, "README.md", "exec"), names)  # noqa: S102  (our own README)
    example = next(value for name, value in names.items() if name.startswith("test_"))

    example(db, saga_world, saga_clock)

    assert [effect.state for effect in saga_world.effects_of("charge")] == ["undone"]
