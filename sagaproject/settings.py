"""The settings of the demo project. docs/REFERENCE.md lists the environment variables that this file reads.

If none is set, the settings suit a development machine: DEBUG is on, only loopback addresses are allowed, SQLite files
are beside manage.py, and the secret key is generated once. If SECRET_KEY is set, the settings suit a deployment.
"""

import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from sagaproject.environment import kept_secret_key, read_flag, read_list, read_object

BASE_DIR = Path(__file__).resolve().parent.parent

# Security

DEBUG = read_flag("DEBUG", default="SECRET_KEY" not in os.environ)
SECRET_KEY = os.environ.get("SECRET_KEY", "")
if not SECRET_KEY and DEBUG:
    SECRET_KEY = kept_secret_key(BASE_DIR / ".secret_key")
if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY must be set in the environment when DEBUG is off.")
# If DEBUG is on, Django also allows the loopback names.
ALLOWED_HOSTS = read_list("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = read_list("CSRF_TRUSTED_ORIGINS")
SESSION_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_SECURE = not DEBUG
# A deployment uses HTTPS. If a proxy terminates TLS, set BEHIND_TLS_PROXY; otherwise the redirects never end.
SECURE_SSL_REDIRECT = read_flag("SSL_REDIRECT", default=not DEBUG)
# Health probes and metrics come from the local network, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^(livez|readyz|metrics)$"]
if read_flag("BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = int(os.environ.get("HSTS_SECONDS", "0" if DEBUG else "2592000"))
# The owner of the domain decides about HSTS for subdomains and about preloading.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# The URL of a booking is secret, so other sites must not receive it as a referrer.
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Forbid content from other sites and inline content, so injected scripts do not run.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

# Apps and middleware

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_q",
    "csp",
    "sagas.apps.SagasConfig",
    "integrations.apps.IntegrationsConfig",
    "sagaproject.bookings.apps.BookingsConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "sagaproject.urls"
WSGI_APPLICATION = "sagaproject.wsgi.application"
ASGI_APPLICATION = "sagaproject.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# Databases

POSTGRESQL_OPTIONS = {
    # Prepare a statement after five uses, so PostgreSQL does not plan it at each checkpoint. Use None with a pooler in
    # transaction mode that does not support prepared statements.
    "prepare_threshold": 5,
    # Detect a lost server host or network within half a minute, which is less than a lease. Without these options, the
    # operating system waits more than 15 minutes.
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
SQLITE_OPTIONS = {
    "timeout": 20,
    # IMMEDIATE takes the write lock at BEGIN, where SQLite waits for the lock. If a transaction reads first and takes
    # the lock later, SQLite does not wait and fails with "database is locked".
    "transaction_mode": "IMMEDIATE",
    # WAL allows reads during a write. synchronous=FULL keeps every commit after a power cut; synchronous=NORMAL can
    # lose the last commits, but a checkpoint must not be lost.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
}


def read_database(variable: str, alias: str, default: str) -> dict[str, Any]:
    """Return the database settings for the URL in this variable, with the options that sagas need."""
    # Connections stay open, because a new connection for each saga doubles the cost of a saga. Health checks are off,
    # because they add a query to each use. If a connection breaks, the storage repeats the checkpoint on a new one.
    database: dict[str, Any] = dict(
        dj_database_url.parse(os.environ.get(variable) or default, conn_max_age=None, conn_health_checks=False)
    )
    if database["ENGINE"] == "django.db.backends.postgresql":
        database["OPTIONS"] = POSTGRESQL_OPTIONS | database.get("OPTIONS", {})
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = SQLITE_OPTIONS | database.get("OPTIONS", {})
        # Tests use a file. Connections to Django's usual in-memory test database share a cache and ignore the timeout,
        # so threads get "table is locked". The process id in the name separates concurrent test runs.
        file = f"sagas-test-{alias}-{os.getpid()}.sqlite3"
        database["TEST"] = {"NAME": str(Path(tempfile.gettempdir()) / file)}
    return database


def sqlite_url(name: str) -> str:
    """Return the URL of a SQLite file beside manage.py, with special characters quoted."""
    return f"sqlite:///{quote(str(BASE_DIR / name))}"


DATABASES = {"default": read_database("DATABASE_URL", "default", sqlite_url("db.sqlite3"))}
# The sandboxes write on a separate connection, like a real provider. On SQLite they also have a separate file,
# because SQLite allows one writer per file. On PostgreSQL they share the default database.
DATABASES["sandbox"] = read_database(
    "SANDBOX_DATABASE_URL",
    "sandbox",
    sqlite_url("sandbox.sqlite3")
    if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
    else os.environ["DATABASE_URL"],
)
# Compute this before tests start, because a test run renames the databases one after the other.
SANDBOX_SHARES_DEFAULT = all(
    DATABASES["default"][part] == DATABASES["sandbox"][part] for part in ("ENGINE", "NAME", "HOST", "PORT")
)
DATABASE_ROUTERS = ["sagaproject.routers.SandboxRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Sagas and their providers

# Every key has a default; docs/REFERENCE.md lists the keys. Put the settings of a deployment here. The variable
# SAGAS_SETTINGS is for tests and drills, for example to set a lease of two seconds.
SAGAS: dict[str, Any] = {
    "CURRENCY": "BRL",
    "PROOF_PROVIDERS": "sagaproject.proof.SandboxProviders",
    **read_object("SAGAS_SETTINGS", example='{"LEASE": 2}'),
}
# A port without an entry uses its sandbox.
INTEGRATIONS: dict[str, Any] = {}

# The cluster runs only sagas. Its tasks are wake-ups, so django-q2 does not store their results.
Q_CLUSTER = {
    "name": "sagas",
    "broker_class": "sagas.worker.SagaBroker",
    "workers": int(os.environ.get("SAGA_WORKERS", "2")),
    "queue_limit": 2,
    "recycle": 100_000,
    "timeout": 60,
    "retry": 120,
    "save_limit": -1,
    "scheduler": False,
    "log_level": "WARNING",
}

REST_FRAMEWORK = {
    # A 401 response names the first class in WWW-Authenticate, so the first class must be TokenAuthentication.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["sagas.api.parsers.LimitedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "sagas.api.problems.exception_handler",
    # The number of trusted proxies that extend X-Forwarded-For.
    "NUM_PROXIES": int(os.environ.get("PROXIES", "0")),
    "DEFAULT_THROTTLE_RATES": {
        "booking_page": "20/min",
        **read_object("API_RATES", example='{"sagas.start": "600/min"}'),
    },
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Bookings",
    "DESCRIPTION": "Starts sagas and tells how they stand.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENFORCE_NON_BLANK_FIELDS": True,
    "ENUM_NAME_OVERRIDES": {
        "Outcome": "sagas.api.response_serializers.OUTCOMES",
        "Resolution": "sagas.api.serializers.RESOLUTIONS",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# Languages and time zone

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("pt-br", _("Brazilian Portuguese"))]
FORMAT_MODULE_PATH = "sagaproject.formats"
LOCALE_PATHS = [BASE_DIR / "sagaproject" / "locale"]
USE_I18N = True
TIME_ZONE = "America/Sao_Paulo"
USE_TZ = True

# Static files

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
# Serve files without collectstatic. If DEBUG is on, search for the file at each request.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# Logs

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "sagaproject.logs.OneLineFormatter",
            "format": "{asctime} {levelname} {name} {message}",
            "style": "{",
        },
    },
    "filters": {"production": {"()": "django.utils.log.RequireDebugFalse"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
        # Errors in views. If DEBUG is on, Django prints them, so this handler is for deployments only.
        "errors": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["production"], "level": "ERROR"},
    },
    "loggers": {
        "django.request": {"handlers": ["errors"]},
        "sagas": {"handlers": ["stderr"], "level": os.environ.get("SAGAS_LOG_LEVEL", "INFO").upper()},
    },
}
