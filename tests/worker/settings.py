"""The demo project's settings with the strange app; the environment configures its cluster."""

import datetime as dt
import json
import os

from sagaproject.settings import *  # noqa: F403
from sagaproject.settings import DATABASES, INSTALLED_APPS, Q_CLUSTER

INSTALLED_APPS = [*INSTALLED_APPS, "tests.worker.strange"]
Q_CLUSTER = {**Q_CLUSTER, **json.loads(os.environ.get("STRANGE_CLUSTER", "{}"))}

if DATABASES["sandbox"]["ENGINE"].endswith("postgresql"):
    # Distinguishes the providers' connections from ours.
    DATABASES["sandbox"].setdefault("OPTIONS", {})["application_name"] = "sandbox"

if shift := float(os.environ.get("STRANGE_CLOCK", "0")):
    # Simulates a host whose clock is wrong by so many seconds.
    from django.utils import timezone

    right = timezone.now
    timezone.now = lambda: right() + dt.timedelta(seconds=shift)
