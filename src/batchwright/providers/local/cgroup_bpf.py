"""Two BPF programs for everything in a control group: no writes to the machine's settings, and only the devices that a
server has. They check operations, not paths, so mounting /proc again or creating a device does not get around them.

They need control groups v2, alone or beside v1. They are attached to a group above the one that the server sees, so
that nothing inside can detach them. See bpf(2).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from functools import cache
from pathlib import Path

_CALL = {"x86_64": 321, "aarch64": 280}  # bpf(2), by machine
_LOAD, _ATTACH = 5, 8  # BPF_PROG_LOAD, BPF_PROG_ATTACH
_ALLOW_MULTI = 2  # programs of groups below hold besides, never instead
SETTINGS, DEVICES = (23, 18), (15, 6)  # BPF_PROG_TYPE_CGROUP_SYSCTL and _DEVICE, each with its BPF_CGROUP_...
_SYSCTL_GET_NAME = 101  # BPF_FUNC_sysctl_get_name
_READ_OR_WRITE, _CHARACTER = 6, 2  # BPF_DEVCG_ACC_..., BPF_DEVCG_DEV_CHAR

# Character devices by major and minor, as in the kernel's devices.txt: null, zero, full, random, urandom; tty, console,
# ptmx; tun, fuse. All of 136: terminals. No disk, no memory.
ALLOWED: dict[int, tuple[int, ...]] = {1: (3, 5, 7, 8, 9), 5: (0, 1, 2), 10: (200, 229), 136: ()}

Step = tuple[int, int, int, int, int]  # operation, destination, source, offset, value


def settings_program(*, own_network: bool) -> list[Step]:
    """Reads are allowed, writes are not; but those of `net/`, which a network of its own has for itself."""
    own: list[Step] = [
        (0xBF, 2, 10, 0, 0),  # r2 = where the name goes, on the stack
        (0x07, 2, 0, 0, -16),
        (0xB7, 3, 0, 0, 16),
        (0xB7, 4, 0, 0, 0),
        (0x85, 0, 0, 0, _SYSCTL_GET_NAME),
        (0x61, 2, 10, -16, 0),
        (0x15, 2, 0, 2, int.from_bytes(b"net/", "little")),
    ]
    more = own if own_network else []
    return [(0x61, 2, 1, 0, 0), (0x15, 2, 0, len(more) + 2, 0), *more, *_ANSWERS]


def devices_program() -> list[Step]:
    """Making a device is allowed, using one that is not in ALLOWED is not."""
    steps: list[Step] = []
    for major, minors in ALLOWED.items():
        if not minors:
            steps.append((0x15, 3, 0, _TO_ALLOW, major))
            continue
        steps.append((0x55, 3, 0, len(minors), major))
        steps += [(0x15, 4, 0, _TO_ALLOW, minor) for minor in minors]
    head: list[Step] = [
        (0x61, 2, 1, 0, 0),  # r2 = access << 16 | kind, r3 = major, r4 = minor
        (0x61, 3, 1, 4, 0),
        (0x61, 4, 1, 8, 0),
        (0xBF, 5, 2, 0, 0),
        (0x77, 5, 0, 0, 16),
        (0x57, 5, 0, 0, _READ_OR_WRITE),
        (0x15, 5, 0, _TO_ALLOW, 0),
        (0x57, 2, 0, 0, 0xFFFF),
        (0x55, 2, 0, len(steps), _CHARACTER),
    ]
    body = [*head, *steps]
    allow = len(body) + 2
    resolved = [(op, dst, src, allow - at - 1 if off == _TO_ALLOW else off, value)
                for at, (op, dst, src, off, value) in enumerate(body)]  # fmt: skip
    return [*resolved, *_ANSWERS]


_TO_ALLOW = -1  # in the place of an offset
_ANSWERS: list[Step] = [(0xB7, 0, 0, 0, 0), (0x95, 0, 0, 0, 0), (0xB7, 0, 0, 0, 1), (0x95, 0, 0, 0, 0)]  # no; yes


def encoded(program: list[Step]) -> bytes:
    """As the kernel takes it: struct bpf_insn of linux/bpf.h."""
    return b"".join(struct.pack("<BBhi", op, src << 4 | dst, off, value) for op, dst, src, off, value in program)


def attach(group: Path, *, own_network: bool) -> None:
    """Hold everything in a group of the second version to both programs. Raises OSError."""
    place = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for kind, program in _programs(own_network=own_network):
            loaded = _load(kind, program)
            try:
                _bpf(_ATTACH, struct.pack("<IIII", place, loaded, kind[1], _ALLOW_MULTI))
            finally:
                os.close(loaded)
    finally:
        os.close(place)


def _programs(*, own_network: bool) -> list[tuple[tuple[int, int], bytes]]:
    return [(SETTINGS, encoded(settings_program(own_network=own_network))), (DEVICES, encoded(devices_program()))]


@cache
def refusal() -> str:
    """Why this machine cannot load such programs; empty if it can. A trial load finds out."""
    try:
        for kind, program in _programs(own_network=True):
            os.close(_load(kind, program))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _load(kind: tuple[int, int], program: bytes) -> int:
    code, licence = ctypes.create_string_buffer(program, len(program)), ctypes.create_string_buffer(b"MIT")
    head = struct.pack("<IIQQ", kind[0], len(program) // 8, ctypes.addressof(code), ctypes.addressof(licence))
    rest = struct.pack("<IIQII16sII", 0, 0, 0, 0, 0, b"batchwright", 0, kind[1])
    return _bpf(_LOAD, head + rest)


def _bpf(command: int, attributes: bytes) -> int:
    call = _CALL.get(platform.machine())
    if call is None:
        raise OSError(38, f"it is not known how to call bpf on {platform.machine()}")
    size = max(len(attributes), 128)
    given = ctypes.create_string_buffer(attributes, size)
    answer: int = ctypes.CDLL(None, use_errno=True).syscall(call, command, given, size)
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
