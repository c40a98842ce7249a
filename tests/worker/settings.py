"""The demo project's settings with the "strange" app; environment variables configure the cluster."""

import datetime as dt
import json
import os

from sagaproject.settings import *  # noqa: F403
from sagaproject.settings import DATABASES, INSTALLED_APPS, Q_CLUSTER

INSTALLED_APPS = [*INSTALLED_APPS, "tests.worker.strange"]
Q_CLUSTER = {**Q_CLUSTER, **json.loads(os.environ.get("STRANGE_CLUSTER", "{}"))}

if DATABASES["sandbox"]["ENGINE"].endswith("postgresql"):
    # The name distinguishes connections of the sandbox providers from those of sagas.
    DATABASES["sandbox"].setdefault("OPTIONS", {})["application_name"] = "sandbox"

if shift := float(os.environ.get("STRANGE_CLOCK", "0")):
    # Simulate a host with a clock that is wrong by this number of seconds.
    from django.utils import timezone

    right = timezone.now
    timezone.now = lambda: right() + dt.timedelta(seconds=shift)
