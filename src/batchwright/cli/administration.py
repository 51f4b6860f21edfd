"""The commands about a service itself: audit, leases, lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from msgspec.structs import replace

from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir, settings_of
from batchwright.cli.output import note, print_json, say
from batchwright.cli.target import Url, chosen, show_warnings
from batchwright.cli.view_printer import clock_time, show_table
from batchwright.service.audit import AuditEntry
from batchwright.service.audit_pages import LIMIT_MOST, AuditQuery
from batchwright.service.shared_audit import any_audit_page
from batchwright.views.lanes import CallRate, LaneLine
from batchwright.views.leases import LeaseLine, LeaseState
from batchwright.views.text_format import counted, duration

Who = Annotated[str, typer.Option("--who", metavar="NAME", help="Only requests of this caller: a token's name.")]
OfRun = Annotated[str, typer.Option("--run", metavar="RUN", help="Only about the run whose id begins so.")]
Find = Annotated[str, typer.Option("--find", metavar="TEXT", help="Only lines that hold this text, in any case.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many lines at most.")]


def audit(
    who: Who = "",
    run: OfRun = "",
    find: Find = "",
    limit: Limit = 50,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Show who asked a service for which change, and how it was answered: the audit trail, the newest line first."""
    found, before, unreadable = asyncio.run(_audit_lines(settings_of(state_dir), AuditQuery(who, run, find), limit))
    if json:
        print_json({"audit": found, "more": before is not None, "unreadable": unreadable})
        return Exit.OK
    _show_audit(found)
    if before is not None:
        note(f"these are the newest {len(found)}; --limit shows more", "dim")
    if unreadable:
        note(f"{counted(unreadable, 'line')} left out: not readable", "yellow")
    return Exit.OK


async def _audit_lines(settings: Settings, query: AuditQuery, limit: int) -> tuple[list[AuditEntry], int | None, int]:
    """The newest lines, where older ones begin, and how many cannot be read."""
    found: list[AuditEntry] = []
    unreadable = 0
    async with Stores(settings) as stores:
        while len(found) < limit:
            page = await any_audit_page(settings, stores, replace(query, limit=min(LIMIT_MOST, limit - len(found))))
            found += page.items
            unreadable += page.unreadable
            query = replace(query, before=page.before)
            if page.before is None:
                break
    return found, query.before, unreadable


def _show_audit(found: Sequence[AuditEntry]) -> None:
    if not found:
        say("the audit trail has no such line")
        return
    rows = [(clock_time(one.at), one.who, one.role, one.what, one.run, _answer(one), one.query) for one in found]
    show_table(("time", "who", "role", "asked for", "run", "answer", "parameters"), rows)


def _answer(one: AuditEntry) -> str:
    if not one.status:
        return "" if not one.what.startswith(("POST ", "DELETE ")) else "not known"
    return f"{one.status} {one.code}".strip()


def leases(state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False) -> int:
    """Show who holds each run that has not ended, with its fence, and whose turn it is in which environment."""
    with chosen(url, state_dir) as client:
        lines = client.leases()
        show_warnings(client)
    print_json({"leases": lines}) if json else _show_leases(lines)
    return Exit.OK


def _show_leases(lines: Sequence[LeaseLine]) -> None:
    if not lines:
        say("no run holds an environment, and none is driven")
        return
    rows = [
        (
            one.run,
            ("simulated:" if one.simulated else "") + one.environment,
            one.status,
            _holder(one),
            str(one.fence or ""),
            clock_time(one.until) if one.until else "",
            str(one.turn or ""),
        )
        for one in lines
    ]
    show_table(("run", "environment", "status", "held by", "fence", "until", "turn"), rows)


def _holder(one: LeaseLine) -> str:
    if one.state is LeaseState.FREE:
        return "nobody; it waits for people" if one.asks else "nobody"
    return f"{one.holder}, which has ended" if one.state is LeaseState.DEAD else one.holder


def lanes(state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False) -> int:
    """Show how much of each account's limits a service uses: calls in flight, rates, what is throttled, what waits."""
    with chosen(url, state_dir) as client:
        lines = client.lanes()
    print_json({"lanes": lines}) if json else _show_lanes(lines)
    return Exit.OK


def _show_lanes(lines: Sequence[LaneLine]) -> None:
    if not lines:
        say("no run is driven, so no lane is in use")
        return
    rows = [
        (
            one.lane + (" (simulated)" if one.simulated else ""),
            f"{one.in_flight} of {one.places}",
            str(one.waiting),
            *(_rate_words(rate) for rate in one.rates),
            ", ".join(one.runs[:3]) + (f" and {len(one.runs) + one.runs_more - 3} more" if len(one.runs) > 3 else ""),
        )
        for one in lines
    ]
    show_table(("lane", "in flight", "waiting", "creates", "destroys", "runs"), rows)


def _rate_words(rate: CallRate) -> str:
    """How fast calls of a class may begin, and why none may now."""
    if rate.throttled_seconds:
        return f"throttled, again in {duration(rate.throttled_seconds)}"
    if not rate.rate:
        return "no known rate"
    learned = rate.base_rate and rate.rate < rate.base_rate
    return f"{rate.rate:.3g}/s" + (f" of {rate.base_rate:.3g}/s" if learned else "")
