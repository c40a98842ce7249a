"""A Django app with incorrect sagas. Each saga breaks one rule."""
