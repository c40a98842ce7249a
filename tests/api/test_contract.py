"""Schemathesis generates requests, and every response conforms to the OpenAPI document."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from rest_framework.authtoken.models import Token

from .sites import served, working

EXAMPLES = os.environ.get("SAGAS_EXAMPLES", "200")
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")

pytestmark = [pytest.mark.prove, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("phases", ["examples,coverage", "fuzzing", "stateful"])
def test_the_api_conforms_to_its_document(tmp_path, phases):
    """Run all checks on single requests and on sequences of requests, while workers run the started sagas."""
    root = get_user_model().objects.create_superuser("root")
    token = Token.objects.create(user=root).key
    with served() as site, working():
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION)),
            *("run", f"{site}/api/schema/?format=json"),
            *("--header", f"Authorization: Token {token}"),
            *("--phases", phases, "--max-examples", EXAMPLES, "--checks", "all", "--workers", "1"),
        ]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0
