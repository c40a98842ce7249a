"""The WSGI application."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sagaproject.settings")
# A WSGI server is a deployment, so DEBUG is off by default. `runserver` has already loaded its settings.
if not settings.configured:
    os.environ.setdefault("DEBUG", "0")

application = get_wsgi_application()
