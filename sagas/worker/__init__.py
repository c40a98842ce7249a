"""Workers: django-q2 keeps the processes, its pusher rings a bell, and the workers claim what is due.

Nothing of a saga lies in django-q2's queue: correctness and progress hold if the bell rings never, twice or late.
"""

from .broker import SagaBroker

__all__ = ["SagaBroker"]
