"""System checks: INTEGRATIONS names existing providers, and a deployment uses real ones."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's own name
from django.utils.module_loading import import_string

from integrations.conf import PORTS, choose, find_problems
from integrations.sandbox import Sandbox


@register("integrations")
def check_integrations(**_: Any) -> list[CheckMessage]:
    """Report each problem with settings.INTEGRATIONS."""
    return [Error(problem.text, hint=problem.cure, id=f"integrations.{problem.id}") for problem in find_problems()]


@register(Tags.security, deploy=True)
def check_deployed_integrations(**_: Any) -> list[CheckMessage]:
    """Warn of sandboxes in a deployment: they reach no real provider."""
    if settings.DEBUG or any(find_problems()):
        return []
    sandboxes = [port for port in PORTS if issubclass(import_string(choose(port).backend), Sandbox)]
    if not sandboxes:
        return []
    return [
        Warning(
            f"These providers are sandboxes: {', '.join(sandboxes)}. They reach no real provider.",
            hint="Name real providers in INTEGRATIONS.",
            id="integrations.W001",
        )
    ]
