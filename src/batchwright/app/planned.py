"""What comes of planning."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.plan import Plan
from batchwright.providers.base import Quote


class Planned(Struct, frozen=True):
    """A plan, or the diagnostics that say why there is none; the price where the providers tell one."""

    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]
    quotes: dict[str, Quote] = {}
    is_valid: bool = True  # the file itself; what is wrong is the providers' or the machine's
