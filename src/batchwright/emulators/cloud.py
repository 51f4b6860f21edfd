"""What `batchwright emulate NAME` needs to know about an emulated cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from msgspec import Struct

from batchwright.emulators.backend_reconciler import BackedAccount
from batchwright.emulators.settings import EmulatorBehaviour
from batchwright.errors import UsageError
from batchwright.fault_injection.settings import described, parse
from batchwright.model.scalar import Scalar

_OPTIONS = ("seed", "time_scale")  # have options of their own


class SummarizedAccount(Protocol):
    """The content of an emulator."""

    def summary(self) -> dict[str, Any]:
        """Everything that will be left, as one list per kind of resource."""
        ...


class EmulatorServer(Protocol):
    """An emulator with one account, which can be served."""

    @property
    def account(self) -> SummarizedAccount: ...

    def app(self) -> Any:
        """The aiohttp application that serves the emulator."""
        ...


class CloudEmulator(Struct, frozen=True):
    """A cloud that can be emulated.

    `environ` is what a client needs, with {url} for the address. `coverage` yields lines about what is emulated and the
    evidence for it. `backed` returns the account with backed servers.
    """

    title: str
    port: int
    behaviour: type[EmulatorBehaviour]
    emulator: Callable[[Any], EmulatorServer]
    environ: Mapping[str, str]
    coverage: Callable[[], Iterable[str]]
    backed: Callable[[Any], BackedAccount] | None = None

    def started(self, faults: Mapping[str, str], seed: int, time_scale: float) -> EmulatorServer:
        """A new account with these settings. Raises UsageError."""
        for key in _OPTIONS:
            if key in faults:
                raise UsageError(f"--fault {key}: it is a separate option", hint=f"--{key.replace('_', '-')}")
        if time_scale <= 0:
            raise UsageError(f"--time-scale {time_scale:g}: expected a number above 0")
        words: dict[str, Scalar] = {**faults, "seed": seed, "time_scale": time_scale}
        return self.emulator(parse(self.behaviour, words, f"the emulated {self.title}"))

    def explanation(self) -> Iterator[str]:
        """What is emulated, the evidence for it, and what can go wrong: lines for people."""
        yield from self.coverage()
        yield "Settings (--fault KEY=VALUE), with their defaults:"
        for name, default, meaning in described(self.behaviour):
            if name not in _OPTIONS:
                yield f"  {f'{name}={default}':24}  {meaning}"
