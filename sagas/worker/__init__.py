"""Workers: django-q2 runs the processes, its pusher wakes the workers up, and each worker claims due executions.

django-q2's queue stores no execution. A wake-up that is lost, late or repeated therefore does no harm.
"""

from .broker import SagaBroker

__all__ = ["SagaBroker"]
