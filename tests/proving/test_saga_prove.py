"""`manage.py saga_prove`, in a separate process with its own databases."""

import json
import os
import subprocess
import sys

import pytest

from sagas.models import SagaExecution
from tests.support.processes import ROOT, url_of

pytestmark = pytest.mark.django_db(transaction=True)


def saga_prove(*words):
    """Run the command in a new process. Return its exit code, stdout and stderr."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.proving.settings",
        "DATABASE_URL": url_of("default"),
        "SANDBOX_DATABASE_URL": url_of("sandbox"),
    }
    command = [sys.executable, "manage.py", "saga_prove", *words]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.prove
@pytest.mark.parametrize(("saga", "scenarios"), [("create_booking", 17), ("collect_payment", 13)])
def test_the_sagas_of_the_project_pass(saga, scenarios):
    code, out, err = saga_prove(saga, "--json")
    print(err)

    proof = json.loads(out)
    assert (code, proof["violations"], proof["exit_code"]) == (0, 0, 0), err
    assert len(proof["scenarios"]) == scenarios
    assert proof["points"] == sum(one["points"] for one in proof["scenarios"]) > 90
    assert set(proof["scenarios"][0]["outcomes"]) == {"succeeded"}
    assert not SagaExecution.objects.exists()


@pytest.mark.parametrize(
    ("saga", "sentence"),
    [
        ("forgets_its_key", "The action of send calls email.send without its idempotency key"),
        pytest.param(
            "sends_in_a_transaction",
            "The action of send calls email.send inside an open transaction",
            marks=[pytest.mark.prove, pytest.mark.once],
        ),
        pytest.param(
            "fails_after_the_effect",
            "The action of send raises KeyError after email.send took effect",
            marks=[pytest.mark.prove, pytest.mark.once],
        ),
        pytest.param(
            "compensates_once",
            "The compensation of send is not idempotent: called again after a crash (after email.send)",
            marks=[pytest.mark.prove, pytest.mark.once],
        ),
    ],
)
def test_a_planted_flaw_is_named(saga, sentence):
    code, out, _ = saga_prove(saga, "--context", '{"order": "O-{saga_id}"}')

    assert code == 1
    assert f"  ✗ {sentence}" in out
    assert "crash points in" in out.splitlines()[-1]
    assert not out.splitlines()[-1].endswith(", 0 violations.")


def test_bad_arguments_are_refused_before_databases_are_created():
    unknown, no_input = saga_prove("nothing_like_it"), saga_prove("create_booking", "--context", "{}")

    assert (unknown[0], unknown[1]) == (2, "")
    assert unknown[2].startswith("No saga named 'nothing_like_it' is registered")
    assert no_input[0] == 2
    assert "sale_id" in no_input[2]
