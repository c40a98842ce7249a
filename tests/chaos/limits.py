"""Times in seconds that the provider, the sagas and the soak share."""

LEASE = 3.0
POLL = 1.0
# A call may last longer than a lease: the heartbeat must then renew the lease during the call.
TIMEOUT = 5.0
