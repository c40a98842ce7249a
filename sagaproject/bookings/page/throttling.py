"""Limit the POST requests to the booking page per client address."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from rest_framework.settings import api_settings
from rest_framework.throttling import SimpleRateThrottle

View = Callable[..., HttpResponse]


class PagePosts(SimpleRateThrottle):
    """A throttle with the rate `booking_page` from the settings. Django's cache stores the counts."""

    scope = "booking_page"

    def get_rate(self) -> str:
        """Read the rate at each request. The base class reads it at import."""
        return api_settings.DEFAULT_THROTTLE_RATES[self.scope]

    def get_cache_key(self, request: HttpRequest, view: Any) -> str:
        """Return a key made from the address only, even if a user is logged in."""
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


def throttled(view: View) -> View:
    """Decorate a view. Answer 429 with a page if the address sent too many requests."""

    @wraps(view)
    def counting(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        throttle = PagePosts()
        if request.method != "POST" or throttle.allow_request(request, view):
            return view(request, *args, **kwargs)
        seconds = math.ceil(throttle.wait() or 1)
        response = render(request, "bookings/too_many.html", {"seconds": seconds}, status=429)
        response["Retry-After"] = str(seconds)
        return response

    return counting
