"""`saga_workers` refuses a cluster that cannot run sagas. Other tests run it with real clusters."""

import pytest

OURS = "sagas.worker.SagaBroker"


@pytest.mark.parametrize(
    ("cluster", "words", "sentence"),
    [
        (
            {"name": "web", "orm": "default"},
            [],
            "The cluster 'web' of Q_CLUSTER runs no sagas: set its broker_class to 'sagas.worker.SagaBroker'.",
        ),
        (
            {"name": "web", "ALT_CLUSTERS": {"sagas": {"broker_class": OURS}}},
            [],
            "The cluster 'web' of Q_CLUSTER runs no sagas: set its broker_class to 'sagas.worker.SagaBroker'.",
        ),
        (
            {"name": "web", "ALT_CLUSTERS": {"sagas": {"broker_class": OURS}}},
            ["--cluster", "saga"],
            "Q_CLUSTER has no cluster 'saga', only 'web', 'sagas'.",
        ),
    ],
)
def test_a_cluster_that_would_run_no_saga_is_refused(command, settings, cluster, words, sentence):
    settings.Q_CLUSTER = cluster

    said = command("saga_workers", *words)

    assert (said.code, said.sentence, said.out) == (2, sentence, "")
