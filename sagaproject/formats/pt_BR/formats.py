"""Dates in figures: they are compared at a glance, and read alike in a list and in a sentence."""

DATE_FORMAT = "d/m/Y"
DATETIME_FORMAT = r"d/m/Y \à\s H:i"
