"""The project with the strange app, its cluster as the environment says."""

import json
import os

from sagaproject.settings import *  # noqa: F403
from sagaproject.settings import INSTALLED_APPS, Q_CLUSTER

INSTALLED_APPS = [*INSTALLED_APPS, "tests.worker.strange"]
Q_CLUSTER = {**Q_CLUSTER, **json.loads(os.environ.get("STRANGE_CLUSTER", "{}"))}
