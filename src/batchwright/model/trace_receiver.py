"""The collector that gets the spans of all runs."""

from __future__ import annotations

import re

from msgspec import Struct

from batchwright.model.receiver_url import url_parts
from batchwright.model.secret_reference import SecretReference

TRACES = "traces/otlp"  # the name of its row among those of webhooks, which are config/NAME and workflow/NAME
OURS = ("connection", "content-length", "content-type", "host", "transfer-encoding")  # each request has its own
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")


class TraceReceiver(Struct, frozen=True, forbid_unknown_fields=True):
    """Where spans go: the whole URL of an OTLP/HTTP endpoint, usually http://HOST:4318/v1/traces.

    `headers` are sent with each export; a secret is a reference. `simulated`: simulated runs are traced too.
    """

    url: str
    headers: dict[str, str | SecretReference] = {}
    simulated: bool = False

    def __post_init__(self) -> None:
        url_parts(self.url)
        for name, value in self.headers.items():
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header")
            if name.lower() in OURS:
                raise ValueError(f"the header {name} cannot be set: each request has its own")
            if isinstance(value, str) and not value.isprintable():
                raise ValueError(f"the header {name} has a value that no header can carry")
