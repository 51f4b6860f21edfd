"""Commands about what there is: providers, taskservs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from batchwright.app.offers import ProviderOffer, provider_offers, taskserv_offers
from batchwright.cli.codes import Exit
from batchwright.cli.human import show_table
from batchwright.cli.options import Json, NoColor
from batchwright.cli.output import print_json, say
from batchwright.model.catalogue import Taskserv

TaskservName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one in full.")]


def providers(json: Json = False, _no_color: NoColor = False) -> int:
    """The providers that are installed here, and what each promises."""
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
