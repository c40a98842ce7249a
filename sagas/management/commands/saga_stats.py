"""manage.py saga_stats: print statistics of all executions."""

from __future__ import annotations

from typing import Any

from sagas.management.console import SagaCommand
from sagas.management.exit_codes import Exit
from sagas.monitoring import stats


class Command(SagaCommand):
    """Print how many executions there are, how they ended and how long they took."""

    help = "Prints how many executions there are, how they ended and how long they took."

    def run(self, options: dict[str, Any]) -> Exit:
        """Collect the statistics and print them."""
        numbers = stats.collect()
        self.console.say(stats.as_text(numbers))
        self.console.document(numbers)
        return Exit.SUCCEEDED
