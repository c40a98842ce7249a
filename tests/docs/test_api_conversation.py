"""The example conversation in docs/API.md works against a running site with workers."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.sites import environment, served, working

from .pages import ROOT, blocks_of

pytestmark = [pytest.mark.prove, pytest.mark.django_db(transaction=True)]


def conversation():
    """Return the shell script in docs/API.md and the HTTP status that it names for each request."""
    script = next(block.text for block in blocks_of(ROOT / "docs/API.md") if "# A client is a user" in block.text)
    return script, re.findall(r"# (\d{3})$", script, re.MULTILINE)


def test_every_request_answers_with_the_status_beside_it(tmp_path):
    script, promised = conversation()
    python = Path(sys.executable).parent
    with served(API_RATES="{}") as site, working():
        for documented, here in (
            ("http://127.0.0.1:8000", site),
            (".venv/bin/python", sys.executable),
            ("manage.py", str(ROOT / "manage.py")),
        ):
            script = script.replace(documented, here)
        variables = environment(
            PATH=f"{python}:{Path(shutil.which('bash')).parent}:{Path(shutil.which('curl')).parent}"
        )
        ended = subprocess.run(
            ["bash", "-eu", "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )

    assert ended.stdout.split() == promised, ended.stderr
    assert len(promised) == 16
