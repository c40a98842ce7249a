"""manage.py saga_doctor: check whether the installation can run sagas."""

from __future__ import annotations

import dataclasses
from typing import Any

from sagas.management.console import SagaCommand
from sagas.monitoring import health
from sagas.monitoring.health import Finding, Level

SIGNS = {Level.OK: "✓", Level.WARNING: "!", Level.BROKEN: "✗"}
CODES = {Level.OK: 0, Level.WARNING: 1, Level.BROKEN: 2}


class Command(SagaCommand):
    """Check the database, settings, clocks, workers and leases."""

    help = "Checks whether the installation can run sagas. Exit codes: 0 healthy, 1 warnings, 2 broken."
    # `health` runs the system checks. If Django ran them first, a failure would exit with 1, the code for warnings.
    requires_system_checks = ()

    def run(self, options: dict[str, Any]) -> int:
        """Print a line for each finding."""
        findings = health.examine()
        for finding in findings:
            self.console.say(_line(finding))
        worst = max(findings, key=lambda finding: CODES[finding.level]).level
        self._final_text = "\n".join(_line(finding) for finding in findings if finding.level is not Level.OK)
        documents = [dataclasses.asdict(finding) for finding in findings]
        self.console.document({"level": worst, "findings": documents, "exit_code": CODES[worst]})
        return CODES[worst]


def _line(finding: Finding) -> str:
    cure = f" {finding.cure}" if finding.cure else ""
    return f"{SIGNS[finding.level]} {finding.subject}: {finding.sentence}{cure}"
