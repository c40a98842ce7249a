"""The settings of tests/worker, with the shop app installed."""

from tests.worker.settings import *  # noqa: F403
from tests.worker.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos.shop"]
