"""Workers: django-q2 runs the processes, its pusher wakes them up, and they claim the executions that are due.

No execution is stored in django-q2's queue, so a wake-up that is lost, late or repeated does no harm.
"""

from .broker import SagaBroker

__all__ = ["SagaBroker"]
