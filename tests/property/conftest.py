"""Set the number of examples of the property tests: SAGAS_EXAMPLES, or 120."""

import os

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "sagas",
    max_examples=int(os.environ.get("SAGAS_EXAMPLES", "120")),
    # Hypothesis sets `derandomize` in CI. These tests need new examples in each run.
    derandomize=False,
    deadline=None,
    database=None,
    print_blob=True,
    # In CI, skip the shrinking of a failing example, because it takes minutes. The report contains the example's blob.
    phases=[Phase.explicit, Phase.generate] if "CI" in os.environ else list(Phase),
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("sagas")
