"""The project with a shop whose sagas end in every state, and a cluster as the environment says."""

import json
import os

from sagaproject.settings import *  # noqa: F403
from sagaproject.settings import INSTALLED_APPS, Q_CLUSTER

INSTALLED_APPS = [*INSTALLED_APPS, "tests.api.shop"]
Q_CLUSTER = {**Q_CLUSTER, **json.loads(os.environ.get("SHOP_CLUSTER", "{}"))}
# On loopback nobody ends TLS before us.
SECURE_SSL_REDIRECT = False
