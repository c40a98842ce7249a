"""What was there before a migration is still there, and fit, after it."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor


@pytest.mark.django_db(transaction=True)
def test_bookings_that_were_there_get_a_token_each():
    before = migrated_to("0001_initial").get_model("bookings", "Booking")
    try:
        for sale_id in ("SALE-1", "SALE-2"):
            before.objects.create(sale_id=sale_id, customer_name="Ana", customer_email="a@example.com", amount=1)
    finally:
        after = migrated_to("0004_unique_tokens").get_model("bookings", "Booking")

    tokens = set(after.objects.values_list("token", flat=True))
    assert len(tokens) == 2
    assert {token.version for token in tokens} == {4}


def migrated_to(name: str):
    """The app as it was, or is, at this migration."""
    executor = MigrationExecutor(connection)
    executor.migrate([("bookings", name)])
    return MigrationExecutor(connection).loader.project_state([("bookings", name)]).apps
