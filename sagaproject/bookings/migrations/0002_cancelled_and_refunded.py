"""Words for what was undone on request, who booked, and a token that existing bookings have yet to get."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("bookings", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="booking",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        # Without its default, which would give every row the same token.
        migrations.AddField(
            model_name="booking",
            name="token",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name="booking",
            name="status",
            field=models.CharField(
                choices=[
                    ("pending", "pending"),
                    ("confirmed", "confirmed"),
                    ("not_booked", "not booked"),
                    ("checking", "being checked"),
                    ("cancelled", "cancelled"),
                ],
                default="pending",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="booking",
            name="payment_status",
            field=models.CharField(
                choices=[
                    ("pending", "pending"),
                    ("paid", "paid"),
                    ("payment_failed", "payment failed"),
                    ("checking", "being checked"),
                    ("refunded", "refunded"),
                    ("cancelled", "cancelled before anything was charged"),
                ],
                default="pending",
                max_length=16,
            ),
        ),
    ]
