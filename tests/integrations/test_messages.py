"""Contract tests of `Mailer` and `Messenger`, and the recipients for which the sandbox simulates errors."""

import time

import pytest

from integrations.email import Mail
from integrations.exceptions import Kind, ProviderError
from integrations.models import SandboxEffect
from integrations.whatsapp import TemplateMessage
from tests.integrations.conftest import in_time

pytestmark = pytest.mark.django_db


def send(mailer, to="ana@example.com", key="s1:1:mail", seconds=10.0):
    return mailer.send(Mail(to, "Booked", "Dear Ana"), key=key, deadline=in_time(seconds))


def notify(messenger, to="+5511987654321"):
    message = TemplateMessage(to, "booking_confirmed", ("Ana", "City tour"))
    return messenger.send_template(message, key="s1:1:wa", deadline=in_time())


def mails() -> int:
    return SandboxEffect.objects.filter(port="email", operation="send").count()


def test_a_mail_is_sent_with_a_message_id_that_follows_from_its_key(mailer):
    first, again, other = send(mailer), send(mailer), send(mailer, key="s2:1:mail")

    assert first.value == again.value
    assert first.value != other.value


def test_every_send_is_one_more_mail(mailer):
    assert not send(mailer).replayed
    assert not send(mailer).replayed

    assert mails() == 2


def test_mail_to_refuse_is_refused(mailer):
    with pytest.raises(ProviderError) as caught:
        send(mailer, "refuse@example.com")

    assert (caught.value.kind, caught.value.code) == (Kind.REFUSED, "550")
    assert mails() == 0


def test_the_first_mail_to_flaky_under_a_key_fails_and_the_next_is_sent(mailer):
    for key in ("s1:1:mail", "s2:1:mail"):
        with pytest.raises(ProviderError) as caught:
            send(mailer, "flaky@example.com", key)
        assert (caught.value.kind, caught.value.code) == (Kind.UNAVAILABLE, "421")
        send(mailer, "flaky@example.com", key)

    assert mails() == 2


def test_mail_to_slow_takes_its_time(mailer):
    begun = time.monotonic()

    send(mailer, "slow@example.com")

    assert time.monotonic() - begun >= 0.1
    assert mails() == 1


def test_mail_to_slow_is_in_doubt_when_the_time_is_over(mailer):
    with pytest.raises(ProviderError) as caught:
        send(mailer, "slow@example.com", seconds=0.05)

    assert caught.value.kind is Kind.UNKNOWN


@pytest.mark.parametrize("number", ["+5511987654321", "11 98765-4321"])
def test_every_send_is_one_more_message(messenger, number):
    first, second = notify(messenger, number), notify(messenger, number)

    assert first.value == second.value
    assert SandboxEffect.objects.filter(port="whatsapp", operation="send_template").count() == 2


@pytest.mark.parametrize("number", ["", "hello", "+55119", "+551100000000000000"])
def test_what_is_no_telephone_number_is_refused(messenger, number):
    with pytest.raises(ProviderError) as caught:
        notify(messenger, number)

    assert caught.value.kind is Kind.REFUSED
    assert str(caught.value) == "Enter a valid telephone number. (131009)"
