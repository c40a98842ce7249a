"""The ASGI application."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sagaproject.settings")
# An ASGI server is a deployment, so DEBUG is off by default. A development server has already loaded its settings.
if not settings.configured:
    os.environ.setdefault("DEBUG", "0")

application = get_asgi_application()
