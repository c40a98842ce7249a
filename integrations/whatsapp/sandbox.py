"""The WhatsApp sandbox. It stores one row per message and refuses invalid telephone numbers."""

from datetime import datetime

from integrations import Done, ledger
from integrations.exceptions import Kind, ProviderError
from integrations.models import EffectState
from integrations.sandbox import Sandbox
from integrations.whatsapp import SentMessage, TemplateMessage, parse_phone


class SandboxMessenger(Sandbox):
    """A messenger that stores messages in the sandbox database."""

    port = "whatsapp"

    def send_template(self, message: TemplateMessage, *, key: str, deadline: datetime) -> Done[SentMessage]:
        """Send the message. Each call sends another message."""
        try:
            parse_phone(message.to)
        except ValueError as error:
            raise ProviderError(Kind.REFUSED, "131009", str(error)) from error
        with self.call("send_template", key=key, deadline=deadline, request=message):
            message_id = f"wamid.{ledger.short_id(key)}"
            ledger.append(self.port, "send_template", key, message, state=EffectState.SENT, external_id=message_id)
        return Done(SentMessage(message_id))
