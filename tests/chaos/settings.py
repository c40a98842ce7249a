"""The settings of clusters under test, with the shop whose provider fails."""

from tests.worker.settings import *  # noqa: F403
from tests.worker.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos.shop"]
