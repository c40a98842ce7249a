"""Each booking has a token of its own: in a migration apart, for PostgreSQL alters no table it has just written."""

import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("bookings", "0003_tokens")]

    operations = [
        migrations.AlterField(
            model_name="booking",
            name="token",
            field=models.UUIDField(default=uuid.uuid4, editable=False, unique=True),
        ),
    ]
