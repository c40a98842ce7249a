"""The times that provider, sagas and harness must agree on, in seconds."""

LEASE = 3.0
POLL = 1.0
# More than a lease, so that a call may outlast it; the heartbeat has to keep the saga.
TIMEOUT = 5.0
