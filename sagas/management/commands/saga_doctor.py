"""manage.py saga_doctor: is the installation fit to run sagas."""

from __future__ import annotations

import dataclasses
from typing import Any

from sagas.management.console import SagaCommand
from sagas.monitoring import health
from sagas.monitoring.health import Finding, Level

SIGNS = {Level.OK: "✓", Level.WARNING: "!", Level.BROKEN: "✗"}
CODES = {Level.OK: 0, Level.WARNING: 1, Level.BROKEN: 2}


class Command(SagaCommand):
    """Looks at the database, settings, clocks, workers and leases."""

    help = "Tells whether the installation is fit to run sagas. Exit code: 0 healthy, 1 warnings, 2 broken."
    # It tells itself what they find; before it they would end it with the code for warnings.
    requires_system_checks = ()

    def run(self, options: dict[str, Any]) -> int:
        """Look, and tell."""
        findings = health.examine()
        for finding in findings:
            self.console.say(_line(finding))
        worst = max(findings, key=lambda finding: CODES[finding.level]).level
        self._final_text = "\n".join(_line(finding) for finding in findings if finding.level is not Level.OK)
        told = [dataclasses.asdict(finding) for finding in findings]
        self.console.document({"level": worst, "findings": told, "exit_code": CODES[worst]})
        return CODES[worst]


def _line(finding: Finding) -> str:
    cure = f" {finding.cure}" if finding.cure else ""
    return f"{SIGNS[finding.level]} {finding.subject}: {finding.sentence}{cure}"
