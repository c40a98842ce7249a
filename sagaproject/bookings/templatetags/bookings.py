"""Filters of the booking page's templates."""

from django import template

from sagas.presentation.templates import money

register = template.Library()
register.filter("money", money)
