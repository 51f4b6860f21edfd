"""The commands for the service's tokens: token create, list, revoke."""

from __future__ import annotations

import asyncio
import getpass
from functools import partial
from typing import Annotated, Any

import typer
from msgspec.structs import asdict

from batchwright.app.access_tokens import AccessToken, Tokens, token_line
from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.app.shared_tokens import publish, records_of, synchronise
from batchwright.app.system_clock import SystemClock
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir, settings_of, window
from batchwright.cli.output import note, print_json, say
from batchwright.cli.view_printer import show_table
from batchwright.errors import AuditUnwritable, UsageError
from batchwright.journal.shared_records import SharesRecords
from batchwright.model.guardrail_limits import GuardrailLimits
from batchwright.model.role import Role
from batchwright.service.audit import Audit, AuditEntry
from batchwright.service.shared_audit import SharedAudit
from batchwright.views.text_format import duration

NEVER = "never"

app = typer.Typer(help="The tokens that give access to the service.")

Named = Annotated[str, typer.Option("--name", help="The owner's name, for the audit trail and the journals.")]
AsRole = Annotated[
    Role,
    typer.Option(
        "--role",
        help="viewer: read; proposer: also propose changes, and carry out those that somebody else approved; operator: "
        "also submit and control runs; admin: everything.",
    ),
]
Expires = Annotated[str, typer.Option("--expires", metavar="SPAN", help="90d, 12h, 30m, or never.")]
Limit = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="KEY=VALUE",
        help="servers=5, destroys=1 or cost_per_hour=0.5EUR: holds for every plan that it runs; may be repeated.",
    ),
]
Word = Annotated[str, typer.Argument(metavar="TOKEN", help="The id or name of the token.")]


@app.command("create")
def create(
    role: AsRole,
    name: Named = "",
    expires: Expires = "90d",
    limit: Limit = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Create a token and print it once. A running service accepts it at once, and requires a token from then on."""
    clock, settings = SystemClock(), settings_of(state_dir)
    lifetime = None if expires == NEVER else window(expires)
    with _Shared(settings) as shared:
        record = partial(_record, settings, shared, "token create")
        made, secret = Tokens(settings).create(
            name or role.value, role, clock.now(), lifetime, record, _limits(limit or [])
        )
    if json:
        print_json({**asdict(token_line(made, clock.now())), "token": secret})
        return Exit.OK
    say(secret)
    until = f"for {duration(lifetime)}" if lifetime is not None else "for ever"
    note(f"this is {made.name}'s token ({made.role}), valid {until}; it is shown only once and not stored")
    return Exit.OK


@app.command("list")
def list_tokens(state_dir: StateDir = None, json: Json = False, _no_color: NoColor = False) -> int:
    """List all tokens, without their secrets."""
    settings, now = settings_of(state_dir), SystemClock().now()
    with _Shared(settings):
        tokens = Tokens(settings).all()
    if json:
        print_json({"tokens": [token_line(token, now) for token in tokens]})
        return Exit.OK
    rows = [(token.id, token.name, token.role, token.trouble(now) or _left(token, now)) for token in tokens]
    show_table(("id", "name", "role", "valid"), rows)
    return Exit.OK


def _left(token: AccessToken, now: float) -> str:
    return f"{duration(token.expires_at - now)} more" if token.expires_at else "for ever"


@app.command("revoke")
def revoke(token: Word, state_dir: StateDir = None, json: Json = False, _no_color: NoColor = False) -> int:
    """Revoke a token. A running service refuses it from the next request on."""
    settings, now = settings_of(state_dir), SystemClock().now()
    with _Shared(settings) as shared:
        revoked = Tokens(settings).revoke(token, now, partial(_record, settings, shared, "token revoke"))
    print_json(token_line(revoked, now)) if json else say(f"the token {revoked.name} ({revoked.id}) is revoked")
    return Exit.OK


def _limits(given: list[str]) -> GuardrailLimits:
    """The limits in `KEY=VALUE` words. Raises UsageError."""
    found: dict[str, Any] = {}
    for word in given:
        key, _, value = word.partition("=")
        try:
            if key == "cost_per_hour":
                found.setdefault(key, {})[value[-3:]] = float(value[:-3])
            elif key in ("servers", "destroys"):
                found[key] = int(value)
            else:
                raise ValueError("there is no such limit")
        except ValueError as error:
            hint = "Write servers=5, destroys=1 or cost_per_hour=0.5EUR."
            raise UsageError(f"--limit {word}: {error}", hint=hint) from error
    try:
        return GuardrailLimits(**found)
    except ValueError as error:
        raise UsageError(f"--limit: {error}", hint="Write servers=5, destroys=1 or cost_per_hour=0.5EUR.") from error


class _Shared:
    """The tokens and the audit trail that all services of a store share, for one command; `Tokens` has a copy."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runner = asyncio.Runner()
        self._stores = Stores(settings)
        self._records: SharesRecords | None = None

    def __enter__(self) -> _Shared:
        if self._settings.postgres is not None:
            self._records = self._runner.run(records_of(self._stores))
            self._runner.run(synchronise(Tokens(self._settings), self._records))
        return self

    def __exit__(self, *_: object) -> None:
        with self._runner:
            self._runner.run(self._stores.__aexit__())

    def record(self, deed: AuditEntry, token: AccessToken) -> bool:
        """Write down what is done to a token and save it for all services; False if nothing is shared."""
        if self._records is None:
            return False
        self._runner.run(self._recorded(self._records, deed, token))
        return True

    async def _recorded(self, records: SharesRecords, deed: AuditEntry, token: AccessToken) -> None:
        async def known() -> SharesRecords:
            return records

        await SharedAudit(known).begin_aside(deed)
        await publish(records, token, deed.at)


def _record(settings: Settings, shared: _Shared, what: str, token: AccessToken) -> None:
    """Write down what is done to a token, before it is done."""
    try:
        who = getpass.getuser()
    except (KeyError, OSError):  # the user id has no name
        who = "cli"
    now = SystemClock().now()
    deed = AuditEntry(now, who, Role.ADMIN, f"{what} {token.name} ({token.id}, {token.role})")
    if shared.record(deed, token):
        return
    try:
        Audit(settings).write(deed)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise AuditUnwritable(f"the audit trail cannot be written: {why}") from error
