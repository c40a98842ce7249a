"""The e-mail sandbox. It stores one row per send.

It refuses mail to `refuse@…`. For `flaky@…`, the first send under a key fails because the provider is unavailable.
For `slow@…`, a send takes `slow_seconds`.
"""

from datetime import datetime

from integrations import Done, ledger
from integrations.email import Mail, SentMail
from integrations.exceptions import Kind, ProviderError
from integrations.faults import wait
from integrations.models import EffectState
from integrations.sandbox import Sandbox


class SandboxMailer(Sandbox):
    """A mailer that stores mail in the sandbox database. A send to `slow@…` takes `slow_seconds`."""

    port = "email"

    def __init__(self, slow_seconds: float = 3.0) -> None:
        self.slow_seconds = slow_seconds

    def send(self, mail: Mail, *, key: str, deadline: datetime) -> Done[SentMail]:
        """Send the mail. Each call sends another mail."""
        recipient = mail.to.partition("@")[0]
        with self.call("send", key=key, deadline=deadline, request=mail):
            if recipient == "refuse":
                raise ProviderError(Kind.REFUSED, "550", "The recipient's mail server refuses the mail")
            if recipient == "flaky" and ledger.find(self.port, "defer", key) is None:
                ledger.append(self.port, "defer", key, mail, state=EffectState.DEFERRED, external_id="")
                raise ProviderError(Kind.UNAVAILABLE, "421", "The recipient's mail server is busy")
            if recipient == "slow":
                wait(self.slow_seconds, deadline)
            message_id = f"<{ledger.short_id(key)}@sandbox.example>"
            ledger.append(self.port, "send", key, mail, state=EffectState.SENT, external_id=message_id)
        return Done(SentMail(message_id))
