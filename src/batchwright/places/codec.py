"""Calls of the ports as bytes, and their answers. Pure. The types are those of the ports themselves.

A digest of all of them, the contract, tells whether two installed versions mean the same by the same bytes.
"""

from __future__ import annotations

import hashlib
import types
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from inspect import signature
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from batchwright.commands.base import Launch, Launcher
from batchwright.model.call_outcome import Observed, ReadRefused, Throttled, Unknown
from batchwright.model.update_behavior import FieldWay
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Capabilities, ChangesServers, Provider, ShowsAttached
from batchwright.taskservs.base import Runner, TaskservCall

T = TypeVar("T")

BYTES_MAX = 1_500_000  # of one message as it travels; Temporal carries up to 2 MB
PLAIN_MAX = 32 * 1024 * 1024  # of one message before it is compressed
COMPRESSION = 3  # a listing shrinks to a tenth, in a few milliseconds


class Unfit(ValueError):
    """A message is too large, or is not one of ours."""


class ProviderTraits(Struct, frozen=True):
    """What the adapter at a place can do; `problem` names the fault if it could not be opened."""

    capabilities: Capabilities
    changes: bool
    shows_attached: bool


class PlaceReport(Struct, frozen=True, omit_defaults=True):
    """What a worker says about itself: its version, and what its allow-list lets it do.

    `providers` are those it may call, with the calls it may make; `taskservs` are the digests of the catalogue entries
    that it may install. `identity` is the public key that logs in from there, "" if there is none. `contract` tells
    whether its calls are the same as ours.
    """

    version: str
    contract: str
    worker: str = ""
    providers: dict[str, tuple[str, ...]] = {}
    commands: tuple[str, ...] = ()
    taskservs: dict[str, str] = {}
    identity: str = ""


class PlaceCalls:
    """What is asked of a worker beside the ports."""

    async def traits(self) -> ProviderTraits:
        """Open the provider's adapter, if it is not open, and say what it can do. Raises ProviderUnavailable."""
        raise NotImplementedError

    async def ways_of_each(
        self, pairs: tuple[tuple[Observed, ServerRequest], ...]
    ) -> tuple[Mapping[str, FieldWay], ...]:
        """The ways of each of these servers, in one call."""
        raise NotImplementedError


class Spec(Struct, frozen=True):
    """One call of a port: its arguments as one struct, and the types that its answer may have, by name."""

    arguments: type[Struct]
    answers: dict[str, Any]


LOOK, CREATE, CHANGE, DESTROY = "look", "create", "change", "destroy"
KINDS = (LOOK, CREATE, CHANGE, DESTROY)  # of provider calls, as an allow-list names them

_PROVIDER: dict[str, tuple[type, str]] = {
    **dict.fromkeys(("account", "health", "quota", "quote", "resolve", "quota_after"), (Provider, LOOK)),
    **dict.fromkeys(("find", "describe", "access"), (Provider, LOOK)),
    **dict.fromkeys(("traits", "ways_of_each"), (PlaceCalls, LOOK)),
    "attached": (ShowsAttached, LOOK),
    "create": (Provider, CREATE),
    "change": (ChangesServers, CHANGE),
    "destroy": (Provider, DESTROY),
}
PROVIDER_CALLS = {name: kind for name, (_, kind) in _PROVIDER.items()}
RUNNER_CALLS = ("install", "installed", "preview", "check", "remove")
LAUNCHER_CALLS = ("resolve", "launch", "left_over")

PROVIDER, RUNNER, LAUNCHER = "provider", "runner", "launcher"
METHODS: dict[tuple[str, str], Callable[..., Any]] = {
    **{(PROVIDER, name): getattr(port, name) for name, (port, _) in _PROVIDER.items()},
    **{(RUNNER, name): getattr(Runner, name) for name in RUNNER_CALLS},
    **{(LAUNCHER, name): getattr(Launcher, name) for name in LAUNCHER_CALLS},
}


_CHANGING = {(RUNNER, "install"), (RUNNER, "remove"), (LAUNCHER, "launch")}


def changes(port: str, method: str) -> bool:
    """Whether a call may change something.

    >>> changes(PROVIDER, "create"), changes(PROVIDER, "find"), changes(RUNNER, "remove")
    (True, False, True)
    """
    return (port, method) in _CHANGING or (port == PROVIDER and PROVIDER_CALLS.get(method, LOOK) != LOOK)


def _without_tell(kind: type[Struct]) -> type[Struct]:
    """What travels of the circumstances of a call; its output comes back with the answer."""
    return msgspec.defstruct(
        f"Sent{kind.__name__}",
        [(one.name, one.type, one.default) for one in _typed(kind) if one.name != "tell"],
        frozen=True,
        omit_defaults=True,
    )


def _typed(kind: type[Struct]) -> list[Any]:
    hints = get_type_hints(kind)
    return [
        msgspec.structs.replace(one, type=hints[one.name]) if isinstance(one, Struct) else one for one in fields(kind)
    ]


_SENT: dict[Any, type[Struct]] = {TaskservCall: _without_tell(TaskservCall), Launch: _without_tell(Launch)}


def sent_form(kind: type[Struct]) -> type[Struct]:
    """The form in which the circumstances of a call travel: without what only the caller has."""
    return _SENT[kind]


@cache
def spec_of(port: str, method: str) -> Spec:
    """The types of a call. Raises Unfit for a call that there is not."""
    try:
        called = METHODS[port, method]
    except KeyError:
        raise Unfit(f"there is no call {port}.{method}") from None
    hints = get_type_hints(called)
    answer = hints.pop("return")
    given = [
        (name, _SENT.get(hints[name], hints[name]), *(() if one.default is one.empty else (one.default,)))
        for name, one in signature(called).parameters.items()
        if name != "self"
    ]
    # a default of a circumstance struct is never used: adapters always send theirs
    arguments = msgspec.defstruct(f"{port}_{method}", [one[:2] if one[1] in _SENT.values() else one for one in given])
    members = get_args(answer) if get_origin(answer) in (Union, types.UnionType) else (answer,)
    kinds = {_name(one): one for one in members}
    if Unknown in members:
        kinds |= {one.__name__: one for one in (Throttled, ReadRefused)}
    return Spec(arguments, kinds)


def _name(kind: Any) -> str:
    return getattr(get_origin(kind) or kind, "__name__", str(kind))


def _kind_of(value: object, kinds: Mapping[str, Any]) -> str:
    """Which of the types of an answer a value has."""
    exact = type(value).__name__
    if exact in kinds:
        return exact
    if len(kinds) == 1:
        return next(iter(kinds))
    for name, kind in kinds.items():
        if isinstance(value, get_origin(kind) or kind):
            return name
    raise Unfit(f"a {exact} is none of {', '.join(kinds)}")


@cache
def contract() -> str:
    """A digest of the types of all calls: the same in two versions whose messages mean the same."""
    told = []
    for port, method in sorted(METHODS):
        spec = spec_of(port, method)
        told.append((port, method, msgspec.json.schema(spec.arguments)))
        told += [(port, name, msgspec.json.schema(kind)) for name, kind in sorted(spec.answers.items())]
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()[:16]


def pack(message: object) -> bytes:
    """A message as it travels. Raises Unfit if it is too large."""
    plain = _encoded(message)
    packed = zlib.compress(plain, COMPRESSION) if len(plain) <= PLAIN_MAX else b""
    if not packed or len(packed) > BYTES_MAX:
        raise Unfit(f"a message of {len(plain):,} bytes ({len(packed):,} compressed) does not travel to a place")
    return packed


def unpack(data: bytes) -> bytes:
    """The message that was packed, bounded. Raises Unfit."""
    opened = zlib.decompressobj()
    try:
        plain = opened.decompress(data, PLAIN_MAX)
    except zlib.error as error:
        raise Unfit(f"not a message: {error}") from None
    if opened.unconsumed_tail or not opened.eof:
        raise Unfit(f"a message of more than {PLAIN_MAX:,} bytes, or only a part of one")
    return plain


def read(data: bytes, kind: type[T]) -> T:
    """The message that was packed. Raises Unfit."""
    return decoded(unpack(data), kind)


def _encoded(value: object) -> bytes:
    try:
        return msgspec.msgpack.encode(value, enc_hook=_plain)
    except (OverflowError, UnicodeError, RecursionError, NotImplementedError) as error:
        raise Unfit(f"a value that does not travel: {error}") from None


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise NotImplementedError(f"a {type(value).__name__} does not travel")


def arguments(port: str, method: str, given: Mapping[str, object]) -> msgspec.Raw:
    """The arguments of a call, by name. Raises Unfit."""
    spec = spec_of(port, method)
    sent = {name: _sent(value) for name, value in given.items()}
    return msgspec.Raw(_encoded(spec.arguments(**sent)))


def _sent(value: object) -> object:
    kind = _SENT.get(type(value))
    if kind is None:
        return value
    return kind(**{name: getattr(value, name) for name in kind.__struct_fields__})


def given_arguments(port: str, method: str, data: msgspec.Raw, tell: Callable[[str], None]) -> dict[str, Any]:
    """The arguments of a call that came; output of it goes to `tell`. Raises Unfit."""
    found = decoded(data, spec_of(port, method).arguments)
    return {name: _received(getattr(found, name), tell) for name in found.__struct_fields__}


def _received(value: object, tell: Callable[[str], None]) -> object:
    for kind, sent in _SENT.items():
        if isinstance(value, sent):
            return kind(**{name: getattr(value, name) for name in sent.__struct_fields__}, tell=tell)
    return value


def answer(port: str, method: str, value: object) -> tuple[str, msgspec.Raw]:
    """The answer of a call: the name of its type, and its bytes. Raises Unfit."""
    kind = _kind_of(value, spec_of(port, method).answers)
    return kind, msgspec.Raw(_encoded(value))


def given_answer(port: str, method: str, kind: str, data: msgspec.Raw) -> Any:
    """The answer that came. Raises Unfit."""
    kinds = spec_of(port, method).answers
    if kind not in kinds:
        raise Unfit(f"the answer to {port}.{method} is a {kind}")
    return decoded(data, kinds[kind])


def decoded(data: msgspec.Raw | bytes, kind: type[T]) -> T:
    """A value of this type. Raises Unfit."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Unfit(f"unreadable: {error}") from None
