"""A small soak test; `make chaos` runs a large one."""

import subprocess
import sys

import pytest
from django.db import connection

from tests.support.processes import ROOT

DEADLINE = 225
SMALL = ["--sagas=300", "--seconds=40", "--kills=10", "--pauses=4", "--restarts=1", f"--deadline={DEADLINE}"]


@pytest.fixture
def soak():
    """Start the soak on its own database of the kind under test; on SIGTERM the soak ends all its processes."""
    command = [sys.executable, "-m", "tests.chaos", *SMALL, f"--database={connection.vendor}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield process
    process.terminate()
    process.wait()


@pytest.mark.prove
def test_no_crash_pause_restart_or_fault_breaks_a_promise(soak):
    output, _ = soak.communicate()

    assert soak.returncode == 0, output
