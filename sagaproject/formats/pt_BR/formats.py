"""Use numeric dates, because they are easy to compare and look the same in lists and sentences."""

DATE_FORMAT = "d/m/Y"
DATETIME_FORMAT = r"d/m/Y \à\s H:i"
