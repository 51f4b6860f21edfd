"""What is wrong with the webhooks of a workflow file, found before anything is changed."""

from __future__ import annotations

import os
from collections.abc import Sequence

from msgspec.structs import replace

from batchwright.app.settings import Settings
from batchwright.commands.preflight import secret_lack
from batchwright.loader.contract_report import WHOLE, PathDiagnostic
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.receiver_url import address_refusal, is_listed, literal_address, url_parts
from batchwright.model.webhook import Webhook
from batchwright.model.workflow import Workflow
from batchwright.operations.observations import Observations

REFUSED = "webhook-refused"
WEBHOOKS_MOST = 20
LIST_HINT = 'The operator can allow it in config.toml: [webhooks] private_hosts = ["{host}"]'
WHERE = "notify:"  # no operation's id has a colon


def webhook_findings(workflow: Workflow) -> list[PathDiagnostic]:
    """Names that stand twice and URLs that cannot be used: what the file alone tells."""
    found: list[PathDiagnostic] = []
    if len(workflow.notify) > WEBHOOKS_MOST:
        message = f"{len(workflow.notify)} webhooks; a workflow may have {WEBHOOKS_MOST}"
        found.append(PathDiagnostic((*WHOLE, "notify"), Diagnostic("too-many-webhooks", message)))
    names = [one.name for one in workflow.notify]
    for number, webhook in enumerate(workflow.notify):
        path = (*WHOLE, "notify", number)
        if webhook.name in names[:number]:
            message = f'two webhooks have the name "{webhook.name}"'
            found.append(PathDiagnostic((*path, "name"), Diagnostic("duplicate-name", message)))
        if why := _url_flaw(webhook):
            message = f'the URL of the webhook "{webhook.name}" cannot be used: {why}'
            found.append(PathDiagnostic((*path, "url"), Diagnostic("bad-format", message)))
    return found


def _url_flaw(webhook: Webhook) -> str:
    try:
        literal_address(url_parts(webhook.url).host)
    except ValueError as error:
        return str(error)
    return ""


def observe_webhooks(
    workflow: Workflow, observations: Observations, settings: Settings, *, simulated: bool
) -> Observations:
    """The observations, plus the problems of the workflow's webhooks."""
    problems = webhook_problems(workflow.notify, settings, simulated=simulated)
    return replace(observations, problems=(*observations.problems, *problems))


def webhook_problems(notify: Sequence[Webhook], settings: Settings, *, simulated: bool) -> list[Diagnostic]:
    """A problem for each receiver that may not be named here and each missing secret.

    A name is looked up only when a message is sent: what it stands for may change until then.
    """
    return [
        replace(flaw, where=f"{WHERE}{one.name}")
        for one in notify
        if one.simulated or not simulated
        for flaw in (_refused(one, settings.webhooks.private_hosts), _secret_flaw(one))
        if flaw is not None
    ]


def _refused(webhook: Webhook, listed: Sequence[str]) -> Diagnostic | None:
    about = f'the webhook "{webhook.name}"'
    if why := _url_flaw(webhook):
        return Diagnostic(REFUSED, f"{about} has a URL that cannot be used: {why}", field="url")
    parts = url_parts(webhook.url)
    address = literal_address(parts.host)
    if is_listed(parts.host, address, listed):
        return None
    hint = LIST_HINT.format(host=parts.host)
    if address is not None and (why := address_refusal(address)):
        return Diagnostic(REFUSED, f"{about} names {parts.host}, {why}", hint, field="url")
    if parts.scheme == "http":
        return Diagnostic(REFUSED, f"{about} is not encrypted: its URL begins with http://", hint, field="url")
    return None


def _secret_flaw(webhook: Webhook) -> Diagnostic | None:
    why = secret_lack(webhook.secret, os.environ)
    message = f'the secret of the webhook "{webhook.name}" is missing: {why}'
    return Diagnostic("secret-missing", message, field="secret") if why else None
