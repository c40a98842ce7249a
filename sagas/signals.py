"""Django signals for whoever wants to watch sagas go by."""

from django.dispatch import Signal

# Sent after the commit of each step run, with `execution` (SagaExecution) and `step_run` (StepRun), in the process
# that made the attempt. A receiver that raises is logged and changes nothing.
step_ended = Signal()

# Sent about once a second by each cluster of workers, in a thread that does nothing else. A receiver that returns True
# has got on with something, and is called again soon; one that raises is logged and changes nothing.
beat = Signal()
