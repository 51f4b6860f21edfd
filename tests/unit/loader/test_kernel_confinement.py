"""What the kernel must give before a client's text is evaluated, and what the confined child cannot do then."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batchwright.errors import EvaluatorUnconfined
from batchwright.loader import (
    UNTRUSTED,
    Confinement,
    confinement,
    evaluator_client,
    evaluator_process,
    load,
    load_source,
)
from batchwright.loader.evaluator_client import Evaluator, NickelError, StartChild
from tests.support.needs import missing
from tests.unit.loader.test_confinement import SECRET, workflow, write

pytestmark = pytest.mark.usefixtures("own_evaluator")


def test_the_kernel_confines_the_child_even_where_nothing_was_scanned(start: StartChild | None, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text(SECRET)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.txt").symlink_to(tmp_path / "secret.txt")
    (inside / "open.txt").write_text("open")
    with Evaluator(UNTRUSTED, [inside], start=start) as child:
        assert child.confinement.is_whole  # else it would have been refused
        assert child.run(f'import "{inside}/open.txt" as \'Text') == b'"open"'
        for target in (
            "/etc/passwd",
            "/proc/self/environ",
            "/dev/zero",
            f"{tmp_path}/secret.txt",
            f"{inside}/link.txt",
        ):
            with pytest.raises(NickelError, match="could not find import"):
                child.run(f'import "{target}" as \'Text')


KERNEL_WITHOUT = """
import ctypes, errno, importlib.util
spec = importlib.util.spec_from_file_location("worker", {worker!r})
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
libc = worker.LIBC

def refuse(*arguments):
    ctypes.set_errno(errno.{errno})
    return -1

class Kernel:
    syscall = staticmethod(refuse if {call!r} == "syscall" else libc.syscall)

    @staticmethod
    def prctl(option, *arguments):
        missing = {call!r} == "prctl" and option == worker.PR_SET_SECCOMP
        return refuse() if missing else libc.prctl(option, *arguments)

worker.LIBC = Kernel
worker.main()
"""


@pytest.fixture
def kernel_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes the child see a kernel that answers one kind of call with an error."""

    def make(call: str, error: str) -> None:
        script = tmp_path / "worker.py"
        script.write_text(KERNEL_WITHOUT.format(worker=evaluator_process.__file__, call=call, errno=error))
        monkeypatch.setattr(evaluator_client.evaluator_process, "__file__", str(script))
        evaluator_client.confinement.cache_clear()

    return make


@pytest.fixture(autouse=True)
def forget_the_confinement() -> Iterator[None]:
    yield
    evaluator_client.confinement.cache_clear()


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        ("syscall", "ENOSYS", "Landlock: Function not implemented"),
        ("syscall", "EOPNOTSUPP", "Landlock: Operation not supported"),
        ("prctl", "EINVAL", "seccomp: Invalid argument"),
        ("prctl", "ENOSYS", "seccomp: Function not implemented"),
    ],
)
@pytest.mark.parametrize("name", ["flow.ncl", "flow.json", "flow.yaml"])
def test_without_confinement_no_client_is_served(
    kernel_without: Callable[[str, str], None],
    start: StartChild | None,
    call: str,
    error: str,
    told: str,
    name: str,
) -> None:
    """A4: missing Landlock or seccomp is reported, with what to do, and nothing of a client is evaluated."""
    kernel_without(call, error)
    with pytest.raises(EvaluatorUnconfined) as caught:
        load_source(workflow('"x"'), name, start=start)
    assert told in caught.value.message
    assert "batchwright run FILE" in caught.value.hint
    assert (confinement().is_whole, confinement().missing) == (False, (told,))


def test_without_confinement_ones_own_file_still_works(
    kernel_without: Callable[[str, str], None], tmp_path: Path
) -> None:
    """A4: the author of the file may read what it reads anyway."""
    kernel_without("syscall", "ENOSYS")
    assert load(write(tmp_path, workflow('"x"'))).workflow is not None


def test_the_confinement_of_this_machine_is_known() -> None:
    """A4: what health and the start of the service tell."""
    assert confinement() == Confinement(confinement().landlock, ())
    assert confinement().landlock >= 1


PROBE = """
import importlib.util, json, os, socket, subprocess, sys
spec = importlib.util.spec_from_file_location("worker", {worker!r})
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
listener = socket.socket(socket.AF_INET)
if {user!r} != os.getuid():
    os.setgroups([])
    os.setgid({user!r})
    os.setuid({user!r})
state = worker.confine([{inside!r}])
found = {{}}

def attempt(name, act):
    try:
        act()
        found[name] = "done"
    except BaseException as error:
        found[name] = getattr(error, "errno", None) or type(error).__name__

attempt("inside", lambda: open({inside!r} + "/open.txt").read())
attempt("write", lambda: open({inside!r} + "/new.txt", "w"))
attempt("remove", lambda: os.unlink({inside!r} + "/open.txt"))
attempt("mode", lambda: os.chmod({inside!r} + "/open.txt", 0o777))
attempt("owner", lambda: os.chown({inside!r} + "/open.txt", 1, 1))
attempt("outside", lambda: open("/etc/passwd").read())
attempt("environment", lambda: open("/proc/self/environ").read())
attempt("processes", lambda: os.listdir("/proc"))
attempt("tcp", lambda: socket.socket(socket.AF_INET))
attempt("unix", lambda: socket.socket(socket.AF_UNIX))
attempt("connect", lambda: listener.connect(("127.0.0.1", 9)))
attempt("fork", os.fork)
attempt("exec", lambda: os.execv("/bin/true", ["true"]))
attempt("kill", lambda: os.kill(os.getppid(), 0))
print(json.dumps([state, found]))
"""


@pytest.mark.parametrize("user", [os.getuid(), 65534])
def test_what_is_confined_can_read_its_files_and_nothing_else(user: int, tmp_path: Path) -> None:
    """A4: as root and as a plain user: no other file, no /proc, no network, no process, no change."""
    if user != os.getuid() and os.getuid() != 0:
        missing("only root can become another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        inside = Path(folder, "inside")
        inside.mkdir()
        (inside / "open.txt").write_text("open")
        for one in (Path(folder), inside, inside / "open.txt"):
            os.chown(one, user, -1)
        probe = PROBE.format(worker=evaluator_process.__file__, inside=str(inside), user=user)
        command = [sys.executable, "-I", "-S", "-c", probe]
        done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
        state, found = json.loads(done.stdout)
        assert (inside / "open.txt").stat().st_mode & 0o777 != 0o777
    assert state["missing"] == []
    assert found.pop("inside") == "done"
    assert "done" not in found.values(), found
    assert {found[name] for name in ("tcp", "unix", "connect", "fork", "exec", "kill", "mode", "owner")} == {
        errno.ENOSYS
    }


def test_the_child_inherits_no_descriptor_and_no_environment(
    monkeypatch: pytest.MonkeyPatch, start: StartChild | None, tmp_path: Path
) -> None:
    """A4: a secret of the service's environment, and a file that it has open, are out of the child's reach."""
    monkeypatch.setenv("BATCHWRIGHT_CANARY", SECRET)
    (tmp_path / "secret.txt").write_text(SECRET)
    with (tmp_path / "secret.txt").open() as secret, Evaluator(UNTRUSTED, [], start=start) as child:
        os.set_inheritable(secret.fileno(), True)
        assert child.run("1") == b"1"
        assert child._child is not None
        process = Path("/proc", str(child._child.pid))
        links = {str(link.readlink()) for link in (process / "fd").iterdir()}
        assert all(link == "/dev/null" or link.startswith("pipe:") for link in links), links
        assert (process / "environ").read_bytes() == b""
        status = (process / "status").read_text()
        assert ("NoNewPrivs:\t1" in status, "Seccomp:\t2" in status) == (True, True)
