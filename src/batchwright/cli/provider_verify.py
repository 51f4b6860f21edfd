"""The command `providers verify`: check assumptions about a provider in a real account."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from batchwright.app.live_verification import Verification, verify
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir, settings_of
from batchwright.cli.output import note, print_json, say
from batchwright.errors import UsageError

ProviderName = Annotated[str, typer.Argument(metavar="NAME", help="An installed provider.")]


Live = Annotated[bool, typer.Option("--live", help="Run the verification, in the account of the credentials.")]


MaxCost = Annotated[
    float | None,
    typer.Option("--max-cost", min=0.0, help="Refuse if everything it creates costs more than this per hour."),
]


def verify_provider(
    name: ProviderName,
    live: Live = False,
    max_cost: MaxCost = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Check assumptions about a provider in a real account. Without --live it only shows what it would do and cost."""
    if live and max_cost is None:
        raise UsageError("--live needs --max-cost", hint="Set a limit: --max-cost 0.05")
    told = asyncio.run(verify(name, settings_of(state_dir), max_cost if live else None, lambda line: note(f"  {line}")))
    if json:
        print_json(told)
    else:
        _tell_verification(told, live=live)
    return Exit.NO if any(one.as_assumed is False for one in told.findings) else Exit.OK


def _tell_verification(told: Verification, *, live: bool) -> None:
    cost = f"{told.cost.per_hour:g} {told.cost.currency} an hour" if told.cost else "an unknown price"
    if live:
        wrong = [one for one in told.findings if one.as_assumed is False]
        say(f"{told.provider}: {len(told.findings)} checks, {len(wrong)} with an unexpected result")
        for one in wrong:
            say(f"  unexpected: {one.question}: {one.answer}")
        return
    say(f"{told.provider}, account {told.account}: it would create {told.makes}; {cost}")
    for question in told.questions:
        say(f"  {question}")
    say("nothing was created; to run it: " + f"batchwright providers verify {told.provider} --live --max-cost COST")
