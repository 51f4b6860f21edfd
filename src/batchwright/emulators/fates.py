"""What goes wrong with a call, drawn beforehand: the same for the same seed, kind and thing, whatever else happens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web
from msgspec import Struct

from batchwright.emulators.faults import CallFaults
from batchwright.model.ids import fraction

_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_CHANGES = ("throttle", "errors", "html502", "lost_answers")


class CallRefused(Exception):
    """A call that the cloud says no to."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message = status, code, message


class Draws(ABC):
    """What an account holds has counters that make every draw repeatable, and tell what came of them."""

    def __init__(self, emulation: CallFaults, clock: Callable[[], float]) -> None:
        self.seed, self.clock = emulation.seed, clock
        self.happened: Counter[str] = Counter()  # faults, and calls by kind
        self._drawn: Counter[str] = Counter()

    def draw(self, kind: str, about: str) -> str:
        """A seed for one more event of this kind; it does not depend on the order of others."""
        self._drawn[f"{kind}/{about}"] += 1
        return f"{self.seed}/{kind}/{about}/{self._drawn[f'{kind}/{about}']}"

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """What will be left once all that is under way has happened: for tests and for people."""


class Fate(Struct, frozen=True):
    """`kind` is the fault, empty for none; `acts` whether the call is carried out; `late` after how many seconds."""

    seed: str
    kind: str = ""
    acts: bool = True
    late: float = 0.0


def fate_of(draws: Draws, e: CallFaults, method: str, path: str, made: str | None) -> Fate:
    """The fate of one call. A create (of what is `made`) may also take effect late; a look only fails."""
    if method == "GET":
        seed = draws.draw("read", path)
        return Fate(seed, "read_errors" if fraction(f"{seed}/read_errors") < e.read_errors else "", acts=False)
    seed = draws.draw("change", f"{method} {path}") if made is None else draws.draw("create", made)
    for kind in _CHANGES if made is None else (*_CHANGES, "late_commits"):
        if fraction(f"{seed}/{kind}") < getattr(e, kind):
            draws.happened[kind] += 1
            return _fated(e, seed, kind)
    return Fate(seed)


def _fated(e: CallFaults, seed: str, kind: str) -> Fate:
    match kind:
        case "lost_answers":
            return Fate(seed, kind)
        case "late_commits":
            late = e.late_min + (e.late_max - e.late_min) * fraction(f"{seed}/late")
            return Fate(seed, kind, late=e.scaled(late))
        case "html502":
            return Fate(seed, kind, acts=fraction(f"{seed}/acts") < 0.5)
    return Fate(seed, kind, acts=False)


def page() -> web.Response:
    """What a gateway says."""
    return web.Response(status=502, text=_PAGE, content_type="text/html")


def dropped(request: web.Request) -> web.Response:
    """The connection ends before an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
