"""The demo project's settings with the shop's sagas; environment variables configure the cluster."""

import json
import os

from sagaproject.settings import *  # noqa: F403
from sagaproject.settings import INSTALLED_APPS, Q_CLUSTER

INSTALLED_APPS = [*INSTALLED_APPS, "tests.api.shop"]
Q_CLUSTER = {**Q_CLUSTER, **json.loads(os.environ.get("SHOP_CLUSTER", "{}"))}
# No proxy terminates TLS on loopback.
SECURE_SSL_REDIRECT = False
