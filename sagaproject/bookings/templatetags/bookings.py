"""The template filter `money`."""

from django import template

from sagas.presentation.templates import money

register = template.Library()
register.filter("money", money)
