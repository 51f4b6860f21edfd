"""Webhooks: who is told about which events of a run."""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.secret_reference import SecretReference


class WebhookEvent(StrEnum):
    """What a receiver can be told about. The value is the `type` of the message."""

    RUN_STARTED = "run.started"  # also when a run that had ended continues
    RUN_ASKS = "run.asks"  # a question to people
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    RUN_ROLLING_BACK = "run.rolling_back"
    RUN_ROLLED_BACK = "run.rolled_back"
    RUN_ROLLBACK_INCOMPLETE = "run.rollback_incomplete"
    STEP_FAILED = "step.failed"


# Steps of a large run may fail by the hundred, so they are sent only where that is asked for.
USUAL = tuple(one for one in WebhookEvent if one is not WebhookEvent.STEP_FAILED)


class Webhook(Struct, frozen=True, forbid_unknown_fields=True):
    """A receiver: where its messages go, which they are, and the secret that signs them.

    `simulated`: simulated runs are told too.
    """

    name: str
    url: str
    secret: SecretReference
    events: tuple[WebhookEvent, ...] = USUAL
    simulated: bool = False

    def public(self) -> Webhook:
        """The webhook as it is shown."""
        return replace(self, url=public_url(self.url))


def public_url(url: str) -> str:
    """A receiver's URL as it is shown: only the host, since path and query may hold a token."""
    scheme, _, rest = url.partition("://")
    host = re.split("[/?]", rest, maxsplit=1)[0]
    return f"{scheme}://{host}" + ("/..." if rest[len(host) :].strip("/") else "")
