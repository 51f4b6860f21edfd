"""What of UpCloud is emulated, and the evidence for each part. `batchwright emulate upcloud --explain` prints it."""

from __future__ import annotations

from collections.abc import Iterator

RECORDED = (  # compared in the tests, key by key, with answers that UpCloud really gave
    "DELETE /ip_address/{ip} -> 204",
    "DELETE /server/{uuid} -> 204",
    "DELETE /storage/{uuid} -> 204",
    "GET /ip_address -> 200",
    "GET /ip_address/{ip} -> 200",
    "GET /plan -> 200",
    "GET /price -> 200",
    "GET /server -> 200",
    "GET /server/{uuid} -> 200",
    "GET /storage -> 200",
    "GET /storage/private -> 200",
    "GET /storage/{uuid} -> 200",
    "GET /storage/{uuid} -> 404",
    "GET /zone -> 200",
    "POST /server -> 202",
    "POST /server/invalid/start -> 400",
    "POST /server/{uuid}/start -> 200",
    "POST /server/{uuid}/stop -> 200",
    "PUT /server/{uuid} -> 202",
)
UNVERIFIED = (  # from the published schema, the documentation, or plausible; never seen in a recorded answer
    "GET /account, /account/resource-usage, /storage/template: the schema's keys; credits are cents",
    "lists, that of addresses too, give 25 entries where no limit is asked for, 1000 at most",
    "a create with plan, login_user, user_data and labels on its disk; unknown keys are UNKNOWN_ATTRIBUTE",
    "the code of an unknown plan (PLAN_INVALID here)",
    "401, 402, 403, 409, 429 and 5xx on servers: status, body and Retry-After",
    "a look at a server that was deleted: 404 SERVER_NOT_FOUND at once",
    "a second stop, and a delete while it stops: 409 SERVER_STATE_ILLEGAL",
    "another plan: only for a stopped server (409 SERVER_STATE_ILLEGAL), within the account's limits; the disk stays",
    "an address with the policy keep can be released while its stopped server still has it",
    "a stopped server gives up its disks, also the one it boots from; nothing is detached while it starts or stops",
    "a create whose client has gone is carried out, and how late it may be",
    "whether a listing by label shows a new server at once",
)


def coverage() -> Iterator[str]:
    """What is emulated and the evidence for it, as lines for people."""
    yield "Compared with recorded answers of UpCloud, key by key:"
    yield from (f"  {row}" for row in RECORDED)
    yield "Emulated, but not verified against UpCloud itself:"
    yield from (f"  {line}" for line in UNVERIFIED)
    yield "Not emulated: networks, firewalls, groups, tags, backups, imports, and the managed services."
