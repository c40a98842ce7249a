"""How many examples the property tests try: 300, or as many as SAGAS_EXAMPLES says."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "sagas",
    max_examples=int(os.environ.get("SAGAS_EXAMPLES", "300")),
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("sagas")
