"""Times in seconds that the provider, the sagas and the soak share."""

LEASE = 3.0
POLL = 1.0
# Longer than a lease, so that the heartbeat must renew it during a call.
TIMEOUT = 5.0
