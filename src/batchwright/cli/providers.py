"""The command `providers`: list the installed providers."""

from __future__ import annotations

import asyncio

import typer

from batchwright.app.provider_capabilities import ProviderOffer, provider_offers
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, settings_of
from batchwright.cli.output import print_json
from batchwright.cli.provider_verify import verify_provider
from batchwright.cli.view_printer import show_table
from batchwright.model.update_behavior import ChangeWay
from batchwright.providers.base import Capabilities
from batchwright.views.plan import account_note

_IN_PLACE = (ChangeWay.LIVE, ChangeWay.STOPPED)

app = typer.Typer()
app.command("verify")(verify_provider)


@app.callback(invoke_without_command=True)
def providers(context: typer.Context, json: Json = False, _no_color: NoColor = False) -> int:
    """List the installed providers and what each supports."""
    if context.invoked_subcommand is not None:
        return Exit.OK
    offers = asyncio.run(provider_offers(settings_of(None)))
    if json:
        print_json({"providers": offers})
        return Exit.OK
    headers = ("provider", "duplicate protection", "calls", "rate", "servers can", "changes in place", "note")
    show_table(headers, map(_row, offers), right=(2, 3))
    return Exit.OK


def _row(offer: ProviderOffer) -> tuple[str, ...]:
    can = offer.capabilities
    if can is None:
        return (offer.name, "", "", "", "", "", ". ".join(filter(None, (offer.trouble, offer.hint))))
    abilities = (("init", can.init), ("privileged", can.privileged), ("own network", can.own_network))
    words = ", ".join(word for word, able in abilities if able)
    return (
        offer.name,
        can.guard.replace("_", " "),
        str(can.concurrency),
        _rates(can.rate, can.destroy_rate),
        words,
        _changes(can),
        ". ".join(filter(None, (f"at {can.at}" if can.at else "", can.note.rstrip("."), _twins(can)))),
    )


def _changes(can: Capabilities) -> str:
    """What a server gets without a new one, and whether it is interrupted."""
    ways = (("labels", can.relabels), ("plan", can.resizes))
    words = [f"{field} (stops it)" if way is ChangeWay.STOPPED else field for field, way in ways if way in _IN_PLACE]
    return ", ".join(words) or "nothing"


def _twins(can: Capabilities) -> str:
    if not can.adopts:
        return "Duplicates are possible: after a lost answer, and beside another store"
    facts = can.facts("", "")
    return account_note(facts.exclusive, facts.visible_seconds, facts.visible_promised)


def _rates(creates: float, destroys: float | None) -> str:
    words = f"{creates:g}/s" if creates else "any"
    return words if destroys in (None, creates) else f"{words}, destroys {f'{destroys:g}/s' if destroys else 'any'}"
