"""The README's conversation with the API, word for word."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT

from .sites import environment, served, working

pytestmark = [pytest.mark.prove, pytest.mark.django_db(transaction=True)]


def conversation():
    """The script, and the status that each line of it promises."""
    readme = (ROOT / "README.md").read_text()
    script = re.search(r"```sh\n(# A client is a user.*?)```", readme, re.DOTALL)[1]
    return script, re.findall(r"# (\d{3})$", script, re.MULTILINE)


def test_the_conversation_goes_as_it_is_told(tmp_path):
    script, promised = conversation()
    python = Path(sys.executable).parent
    with served(API_RATES="{}") as site, working():
        for told, here in (
            ("http://127.0.0.1:8000", site),
            (".venv/bin/python", sys.executable),
            ("manage.py", str(ROOT / "manage.py")),
        ):
            script = script.replace(told, here)
        variables = environment(
            PATH=f"{python}:{Path(shutil.which('bash')).parent}:{Path(shutil.which('curl')).parent}"
        )
        ended = subprocess.run(
            ["bash", "-eu", "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )

    assert ended.stdout.split() == promised, ended.stderr
    assert len(promised) == 16
