"""A token for each booking that has none."""

import uuid

from django.db import migrations


def give_tokens(apps, schema_editor):
    """Row by row, for each needs one of its own."""
    bookings = apps.get_model("bookings", "Booking").objects.using(schema_editor.connection.alias)
    for pk in list(bookings.filter(token=None).values_list("pk", flat=True)):
        bookings.filter(pk=pk).update(token=uuid.uuid4())


class Migration(migrations.Migration):
    dependencies = [("bookings", "0002_cancelled_and_refunded")]

    operations = [migrations.RunPython(give_tokens, migrations.RunPython.noop)]
