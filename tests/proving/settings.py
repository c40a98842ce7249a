"""The project with an app of flawed sagas."""

from sagaproject.settings import *  # noqa: F403
from sagaproject.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.proving.flawed"]
