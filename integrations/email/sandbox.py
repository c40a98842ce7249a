"""The mailer's sandbox: every send that arrives is a row.

To `refuse@…` mail is refused; to `flaky@…` the first send under a key is put off; to `slow@…` it takes
`slow_seconds`.
"""

from datetime import datetime

from integrations import ledger
from integrations.email import Mail, SentMail
from integrations.exceptions import Kind, ProviderError
from integrations.faults import wait
from integrations.models import EffectState
from integrations.results import Done
from integrations.sandbox import Sandbox


class SandboxMailer(Sandbox):
    """Keeps mail in our database; option `slow_seconds`: how long mail to `slow@…` takes."""

    port = "email"

    def __init__(self, slow_seconds: float = 3.0) -> None:
        self.slow_seconds = slow_seconds

    def send(self, mail: Mail, *, key: str, deadline: datetime) -> Done[SentMail]:
        """Send the mail, once more for each call."""
        person = mail.to.partition("@")[0]
        with self.call("send", key=key, deadline=deadline, request=mail):
            if person == "refuse":
                raise ProviderError(Kind.REFUSED, "550", "The recipient's mail server refuses the mail")
            if person == "flaky":
                self._put_off_the_first(mail, key)
            if person == "slow":
                wait(self.slow_seconds, deadline)
            message_id = f"<{ledger.short_id(key)}@sandbox.example>"
            ledger.append(self.port, "send", key, mail, state=EffectState.SENT, external_id=message_id)
        return Done(SentMail(message_id))

    def _put_off_the_first(self, mail: Mail, key: str) -> None:
        if ledger.find(self.port, "defer", key) is None:
            ledger.append(self.port, "defer", key, mail, state=EffectState.DEFERRED, external_id="")
            raise ProviderError(Kind.UNAVAILABLE, "421", "The recipient's mail server is busy")
