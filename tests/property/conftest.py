"""How many examples the property tests try: 120, or as many as SAGAS_EXAMPLES says."""

import os

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "sagas",
    max_examples=int(os.environ.get("SAGAS_EXAMPLES", "120")),
    # In CI hypothesis would try the same ones each time.
    derandomize=False,
    deadline=None,
    database=None,
    print_blob=True,
    # In CI a failure is reported as it was found, with its blob; making it small takes minutes.
    phases=[Phase.explicit, Phase.generate] if "CI" in os.environ else list(Phase),
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("sagas")
