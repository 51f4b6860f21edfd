"""The commands `providers` and `providers verify`: list installed providers; check assumptions in a real account."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from batchwright.app.live_verification import Verification, verify
from batchwright.app.offerings import ProviderOffer, provider_offers
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir, settings_of
from batchwright.cli.output import note, print_json, say
from batchwright.cli.view_printer import show_table
from batchwright.errors import UsageError

app = typer.Typer()

ProviderName = Annotated[str, typer.Argument(metavar="NAME", help="An installed provider.")]
Live = Annotated[bool, typer.Option("--live", help="Run the verification, in the account of the credentials.")]
MaxCost = Annotated[
    float | None,
    typer.Option("--max-cost", min=0.0, help="Refuse if everything it creates costs more than this per hour."),
]


@app.callback(invoke_without_command=True)
def providers(context: typer.Context, json: Json = False, _no_color: NoColor = False) -> int:
    """List the installed providers and what each supports."""
    if context.invoked_subcommand is not None:
        return Exit.OK
    offers = provider_offers(settings_of(None).providers)
    if json:
        print_json({"providers": offers})
        return Exit.OK
    headers = ("provider", "duplicate protection", "calls", "rate", "servers can", "note")
    show_table(headers, map(_row, offers), right=(2, 3))
    return Exit.OK


@app.command("verify")
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


def _row(offer: ProviderOffer) -> tuple[str, ...]:
    can = offer.capabilities
    if can is None:
        return (offer.name, "", "", "", "", ". ".join(filter(None, (offer.trouble, offer.hint))))
    abilities = (("init", can.init), ("privileged", can.privileged), ("own network", can.own_network))
    words = ", ".join(word for word, able in abilities if able)
    return (
        offer.name,
        can.guard.replace("_", " "),
        str(can.concurrency),
        _rates(can.rate, can.destroy_rate),
        words,
        can.note,
    )


def _rates(creates: float, destroys: float | None) -> str:
    words = f"{creates:g}/s" if creates else "any"
    return words if destroys in (None, creates) else f"{words}, destroys {f'{destroys:g}/s' if destroys else 'any'}"
