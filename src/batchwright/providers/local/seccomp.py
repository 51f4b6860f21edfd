"""Filters of system calls. One keeps root's servers from what is the machine's, of which there is only one.

The other lets one user id play all: giving files and processes to others succeeds and does nothing.

It is what makes apt and services work for a plain user, who has one id only: inside, everything is root's. The idea is
Charliecloud's ("--force=seccomp"). Classic BPF as in seccomp(2); the numbers are those of the kernel's tables. Pure.
"""

from __future__ import annotations

import struct

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = (
    0x20,
    0x54,
    0x15,
    0x35,
    0x06,
)  # BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_JMP|JEQ|K, ...|JGE|K, BPF_RET|K
_ALLOW, _NOTHING = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with 0: it "succeeded"
_NUMBER, _ARCHITECTURE, _ARGUMENT, _EACH = 0, 4, 16, 8  # offsets in struct seccomp_data
_FORMAT, _DEVICES = 0o170000, (0o020000, 0o060000)  # S_IFMT, and S_IFCHR, S_IFBLK

# Per machine: AUDIT_ARCH, calls that do nothing, and calls that do nothing for devices (with their mode's argument)
_TABLES: dict[str, tuple[int, tuple[int, ...], tuple[tuple[int, int], ...]]] = {
    "x86_64": (
        0xC000003E,
        (92, 93, 94, 105, 106, 113, 114, 116, 117, 119, 122, 123, 126, 260),
        ((133, 1), (259, 2)),
    ),
    "aarch64": (0xC00000B7, (54, 55, 91, 143, 144, 145, 146, 147, 149, 151, 152, 159), ((33, 2),)),
}

MACHINES = tuple(_TABLES)

# What changes or shows the machine as a whole: another kernel, modules, swap, its log, clock, performance counters;
# files of the machine by their number; page faults of others. Keys are root's, and root is the same inside.
_REFUSED = {
    "x86_64": (246, 320, 175, 313, 176, 167, 168, 163, 103, 304, 298, 323, 172, 173, 164, 227, 159, 305),
    "aarch64": (104, 294, 105, 273, 106, 224, 225, 89, 116, 265, 241, 282, 170, 112, 171, 266),
}
_ABSENT = {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}  # add_key, request_key, keyctl: programs do without
_BPF = {"x86_64": 321, "aarch64": 280}
_X32 = 0x40000000  # of the numbers that are those of x86_64 under another name
_EPERM, _ENOSYS = _NOTHING | 1, _NOTHING | 38


def system_filter(machine: str, *, bpf: bool) -> bytes:
    """The program for root's servers on a machine, one of MACHINES. With `bpf` that call is left to them.

    Programs for another machine (32 bits) find no system calls: their numbers mean something else.
    """
    refused = (*_REFUSED[machine], *(() if bpf else (_BPF[machine],)))
    code: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _TABLES[machine][0]),
        (_RETURN, 0, 0, _ENOSYS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ENOSYS)]
    for numbers, answer in ((refused, _EPERM), (_ABSENT[machine], _ENOSYS)):
        for number in numbers:
            code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, answer)]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *step) for step in code)


def one_user_filter(machine: str) -> bytes:
    """The program for a machine (as `uname -m` calls it), one of MACHINES."""
    architecture, nothing, devices = _TABLES[machine]
    code: list[tuple[int, int, int, int]] = []
    code.append((_LOAD, 0, 0, _ARCHITECTURE))
    code.append((_EQUAL, 1, 0, architecture))
    code.append((_RETURN, 0, 0, _ALLOW))
    code.append((_LOAD, 0, 0, _NUMBER))
    for number in nothing:
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _NOTHING)]
    for number, argument in devices:
        code += [
            (_EQUAL, 0, 6, number),
            (_LOAD, 0, 0, _ARGUMENT + _EACH * argument),
            (_AND, 0, 0, _FORMAT),
            (_EQUAL, 1, 0, _DEVICES[0]),
            (_EQUAL, 0, 1, _DEVICES[1]),
            (_RETURN, 0, 0, _NOTHING),
            (_RETURN, 0, 0, _ALLOW),
        ]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *step) for step in code)
