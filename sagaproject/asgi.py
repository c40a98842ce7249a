"""The door for ASGI servers."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sagaproject.settings")
# A server that comes in by this door is a deployment: it must not fall into the defaults for development.
# A development server comes here too, but with its settings already loaded.
if not settings.configured:
    os.environ.setdefault("DEBUG", "0")

application = get_asgi_application()
