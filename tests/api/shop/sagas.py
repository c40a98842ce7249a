"""Two sagas: the input of the first chooses its outcome, and the second always succeeds."""

import time

from rest_framework import serializers

from sagas import OutcomeUnknown, Saga, SagaStep, StepFailed, register

FATES = ["delivered", "refused", "stuck", "in doubt", "slow"]


class OrderInput(serializers.Serializer):
    """The input of an order."""

    fate = serializers.ChoiceField(choices=FATES)
    size = serializers.IntegerField(min_value=1, max_value=9, default=1)


def pack(context):
    if context["fate"] == "slow":
        time.sleep(0.5)
    return {"parcel": f"P-{context['size']}"}


def unpack(context):
    if context["fate"] == "stuck":
        raise StepFailed("the parcel is gone")


def ship(context):
    if context["fate"] in ("refused", "stuck"):
        raise StepFailed("no such street")
    if context["fate"] == "in doubt":
        raise OutcomeUnknown("the carrier does not answer")


register(
    Saga(
        "order",
        [SagaStep("pack", pack, unpack), SagaStep("ship", ship, retry_count=0, pivot=True)],
        schema=OrderInput,
    )
)
register(Saga("note", [SagaStep("write", lambda context: {"written": len(context)}, lambda context: None)]))
