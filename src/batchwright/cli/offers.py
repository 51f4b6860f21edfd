"""Commands about what there is: providers, providers verify, taskservs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.text import Text

from batchwright.app.offers import ProviderOffer, provider_offers, taskserv_offers
from batchwright.app.verifying import Verification, verify
from batchwright.cli.codes import Exit
from batchwright.cli.human import show_table
from batchwright.cli.options import Json, NoColor, StateDir, settings_of
from batchwright.cli.output import note, print_json, say
from batchwright.errors import UsageError
from batchwright.model.catalogue import Taskserv

app = typer.Typer()

ProviderName = Annotated[str, typer.Argument(metavar="NAME", help="An installed provider.")]
Live = Annotated[bool, typer.Option("--live", help="Really do it, with the account of the credentials.")]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost", min=0.0, help="Refuse if an hour of all it makes costs more than this.")
]
TaskservName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one in full.")]


@app.callback(invoke_without_command=True)
def providers(context: typer.Context, json: Json = False, _no_color: NoColor = False) -> int:
    """The providers that are installed here, and what each promises."""
    if context.invoked_subcommand is not None:
        return Exit.OK
    offers = provider_offers()
    if json:
        print_json({"providers": offers})
        return Exit.OK
    headers = ("provider", "repeats are kept off by", "calls", "rate", "servers can", "note")
    show_table(headers, map(_row, offers), right=(2, 3))
    return Exit.OK


def _row(offer: ProviderOffer) -> tuple[str, ...]:
    can = offer.capabilities
    if can is None:
        return (offer.name, "", "", "", "", f"{offer.trouble} {offer.hint}".strip())
    abilities = (("init", can.init), ("privileged", can.privileged), ("own network", can.own_network))
    words = ", ".join(word for word, able in abilities if able)
    return (
        offer.name,
        can.guard.replace("_", " "),
        str(can.concurrency),
        f"{can.rate:g}/s" if can.rate else "any",
        words,
        "",
    )


@app.command("verify")
def verify_provider(
    name: ProviderName,
    live: Live = False,
    max_cost: MaxCost = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Ask a real account what no emulator can say. Without --live it only shows what it would do and cost."""
    if live and max_cost is None:
        raise UsageError("--live needs --max-cost", hint="Say what it may cost: --max-cost 0.05")
    told = asyncio.run(verify(name, settings_of(state_dir), max_cost if live else None, lambda line: note(f"  {line}")))
    if json:
        print_json(told)
    else:
        _tell_verification(told, live=live)
    return Exit.NO if any(one.as_assumed is False for one in told.findings) else Exit.OK


def _tell_verification(told: Verification, *, live: bool) -> None:
    cost = f"{told.cost.per_hour:g} {told.cost.currency} an hour" if told.cost else "a price that is not told"
    if live:
        wrong = [one for one in told.findings if one.as_assumed is False]
        say(f"{told.provider}: {len(told.findings)} answers, {len(wrong)} of them not as assumed")
        for one in wrong:
            say(f"  not as assumed: {one.question}: {one.answer}")
        return
    say(f"{told.provider}, account {told.account}: it would make {told.makes}; {cost}")
    for question in told.questions:
        say(f"  {question}")
    say("nothing was made; to do it: " + f"batchwright providers verify {told.provider} --live --max-cost COST")


def taskservs(name: TaskservName = None, json: Json = False, _no_color: NoColor = False) -> int:
    """The task services that can be installed, or one of them in full."""
    entries = taskserv_offers(name)
    if json:
        print_json(entries[0] if name else {"taskservs": entries})
        return Exit.OK
    if name:
        _show_one(entries[0])
        return Exit.OK
    rows = ((entry.name, entry.version, ", ".join(entry.requires), entry.summary) for entry in entries)
    show_table(("name", "version", "requires", "what it is"), rows)
    return Exit.OK


def _show_one(entry: Taskserv) -> None:
    say(Text.assemble((entry.name, "bold"), f" {entry.version}: {entry.summary}"))
    for label, names in (
        ("provides", entry.provides),
        ("requires", entry.requires),
        ("comes after", entry.after),
        ("conflicts", entry.conflicts),
    ):
        if names:
            say(f"  {label}: {', '.join(names)}")
    needs = entry.needs
    abilities = (("a service manager", needs.init), ("to run containers", needs.privileged),
                 ("a network of its own", needs.own_network), (f"{needs.memory_mb} MB", needs.memory_mb))  # fmt: skip
    if wanted := [word for word, needed in abilities if needed]:
        say(f"  needs: {', '.join(wanted)}")
    for key, variable in entry.variables.items():
        default = "must be given" if variable.default is None else f"default {variable.default}"
        say(f"  {key}: {variable.described()}, {default}; {variable.summary}")
    for provider, variant in entry.variants.items():
        say(f"  on {provider}: " + ", ".join(f"{key} = {value}" for key, value in variant.variables.items()))
