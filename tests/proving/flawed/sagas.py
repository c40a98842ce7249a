"""Sagas that send an email. Each has one flaw that saga_prove has to report."""

import uuid

from django.db import transaction

from integrations import ledger
from integrations.email import Mail
from integrations.registry import email
from sagas import Saga, SagaStep, StepFailed, register

MAIL = Mail("customer@example.com", "Your order", "It is on its way.")
APOLOGY = Mail("customer@example.com", "Your order", "It is not.")


def send(context):
    email().send(MAIL, key=context.idempotency_key, deadline=context.deadline)


def apologise(context):
    email().send(APOLOGY, key=context.idempotency_key, deadline=context.deadline)


def apologise_once(context):
    if ledger.find("email", "send", context.idempotency_key):
        raise StepFailed("the apology was sent already")
    apologise(context)


def send_under_another_key(context):
    email().send(MAIL, key=str(uuid.uuid4()), deadline=context.deadline)


def send_in_a_transaction(context):
    with transaction.atomic():
        send(context)


def send_and_fail(context):
    send(context)
    return {"message": {}["id"]}


def nothing(context):
    return None


def flawed(name, action=send, compensation=apologise):
    """Register a saga of two steps: send an email, then finish."""
    return register(Saga(name, [SagaStep("send", action, compensation), SagaStep("finish", nothing)]))


FORGETS_ITS_KEY = flawed("forgets_its_key", send_under_another_key)
SENDS_IN_A_TRANSACTION = flawed("sends_in_a_transaction", send_in_a_transaction)
FAILS_AFTER_THE_EFFECT = flawed("fails_after_the_effect", send_and_fail)
COMPENSATES_ONCE = flawed("compensates_once", compensation=apologise_once)
