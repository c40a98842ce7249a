"""The project's URLs."""

from csp.decorators import csp_update
from django.contrib import admin
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from sagas.api.views import Nowhere

# Allow data URLs, because the styles of Swagger embed their images in them.
docs = csp_update({"img-src": "data:"})(SpectacularSwaggerSplitView.as_view(url_name="schema"))

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="bookings:book"), name="home"),
    path("", include("sagaproject.bookings.page.views")),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("api/v1/", include("sagas.api.urls")),
    path("api/v1/", include("sagaproject.bookings.api")),
    re_path("^api/v1/", Nowhere.as_view()),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", docs, name="docs"),
    path("", include("sagas.api.probes")),
    # Browsers request /favicon.ico for pages that declare no icon, such as the admin.
    path("favicon.ico", RedirectView.as_view(url=static("bookings/favicon.svg"))),
]
