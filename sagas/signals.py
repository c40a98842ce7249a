"""Django signals."""

from django.dispatch import Signal

# Sent after the commit of each step run, with `execution` (SagaExecution) and `step_run` (StepRun), in the process that
# made the attempt. An exception of a receiver is logged and changes nothing.
step_ended = Signal()

# Sent about once a second by each cluster of workers, in its own thread. A receiver that returns True made progress and
# is called again soon. An exception of a receiver is logged and changes nothing.
beat = Signal()
