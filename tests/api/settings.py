"""The demo project's settings with the shop's sagas; the environment configures the cluster."""

import json
import os

from sagaproject.settings import *  # noqa: F403
from sagaproject.settings import INSTALLED_APPS, Q_CLUSTER

INSTALLED_APPS = [*INSTALLED_APPS, "tests.api.shop"]
Q_CLUSTER = {**Q_CLUSTER, **json.loads(os.environ.get("SHOP_CLUSTER", "{}"))}
# On loopback no proxy terminates TLS.
SECURE_SSL_REDIRECT = False
