"""The settings of the demo project, plus the app with the flawed sagas."""

from sagaproject.settings import *  # noqa: F403
from sagaproject.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.proving.flawed"]
