"""Commands about what there is: providers."""

from __future__ import annotations

from batchwright.app.offers import ProviderOffer, provider_offers
from batchwright.cli.codes import Exit
from batchwright.cli.human import show_table
from batchwright.cli.options import Json, NoColor, settings_of
from batchwright.cli.output import print_json


def providers(json: Json = False, _no_color: NoColor = False) -> int:
    """The providers that are installed here, and what each promises."""
    offers = provider_offers(settings_of(None).providers)
    if json:
        print_json({"providers": offers})
        return Exit.OK
    headers = ("provider", "repeats are kept off by", "calls", "rate", "servers can", "note")
    show_table(headers, map(_row, offers), right=(2, 3))
    return Exit.OK


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
