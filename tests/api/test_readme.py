"""The README's example of the API, run as it is written."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT

from .sites import environment, served, working

pytestmark = [pytest.mark.prove, pytest.mark.django_db(transaction=True)]


def example():
    """Return the script, and the status that each of its lines has in a comment."""
    readme = (ROOT / "README.md").read_text()
    script = re.search(r"```sh\n(# A client is a user.*?)```", readme, re.DOTALL)[1]
    return script, re.findall(r"# (\d{3})$", script, re.MULTILINE)


def test_the_example_returns_the_documented_statuses(tmp_path):
    script, documented = example()
    python = Path(sys.executable).parent
    with served(API_RATES="{}") as site, working():
        for written, actual in (
            ("http://127.0.0.1:8000", site),
            (".venv/bin/python", sys.executable),
            ("manage.py", str(ROOT / "manage.py")),
        ):
            script = script.replace(written, actual)
        variables = environment(
            PATH=f"{python}:{Path(shutil.which('bash')).parent}:{Path(shutil.which('curl')).parent}"
        )
        ended = subprocess.run(
            ["bash", "-eu", "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )

    assert ended.stdout.split() == documented, ended.stderr
    assert len(documented) == 16
