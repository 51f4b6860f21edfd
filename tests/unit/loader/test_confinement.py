"""Hostile files: each ends in one clean diagnostic, shows nothing of other files, and leaves this process unharmed."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from batchwright.errors import EvaluatorUnconfined
from batchwright.loader import (
    LOCAL,
    UNTRUSTED,
    Confinement,
    LoaderLimits,
    confinement,
    evaluator_client,
    evaluator_process,
    load,
    load_source,
)
from batchwright.loader.evaluator_client import EvaluationLimitExceeded, Evaluator, NickelError, StartChild
from batchwright.loader.evaluator_forks import EvaluatorForks
from batchwright.model.diagnostic import Diagnostic
from tests.support.needs import missing

pytestmark = pytest.mark.usefixtures("own_evaluator")
SMALL = msgspec.structs.replace(LOCAL, memory_mib=256, cpu_seconds=2, wall_seconds=20.0)
SECRET = "TOP-SECRET-CONTENT"


@pytest.fixture(params=["started", "forked"])
def start(request: pytest.FixtureRequest) -> Iterator[StartChild | None]:
    """The child is started for itself, or forked from a process that has loaded the evaluator."""
    if request.param == "started":
        yield None
        return
    server = EvaluatorForks()
    yield server.fork
    server.close()


def workflow(value: str) -> str:
    """A Nickel file that is right but for its description."""
    server = '{ name = "a", plan = "p", zone = "z" }'
    operation = f'{{ id = "a", type = "server_batch", provider = "local", server_configs = [{server}] }}'
    body = f'name = "x", version = "1", description = {value}, operations = [{operation}]'
    return f"{{ batch_workflow = {{ {body} }} }}\n"


def only(file: Path, limits: LoaderLimits = SMALL) -> Diagnostic:
    loaded = load(file, limits=limits)
    assert loaded.workflow is None
    (found,) = loaded.diagnostics
    assert SECRET not in msgspec.json.encode(loaded).decode()
    return found


def write(folder: Path, text: str, name: str = "flow.ncl") -> Path:
    file = folder / name
    file.write_text(text)
    return file


TOO_MUCH = {
    "endless recursion": "let rec f = fun x => f (x + 1) in f 0",
    "endless list": "let rec f = fun x => [x] @ f (x + 1) in f 0",
    "doubling text": 'std.array.fold_left (fun s _n => s ++ s) "ab" (std.array.range 0 60)',
    "memory bomb": "std.to_string (std.array.fold_left (+) 0 (std.array.range 0 100000000))",
    "power bomb": "std.to_string (std.number.pow 7 100000000000)",
}


@pytest.mark.parametrize("value", TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_needs_too_much_memory_is_refused(value: str, tmp_path: Path) -> None:
    found = only(write(tmp_path, workflow(value)))
    assert found.code in {"too-much-memory", "too-deep"}  # the stack wants memory too
    assert (found.line, found.column) == (1, 1)
    assert found.hint


def test_what_computes_too_long_is_refused(tmp_path: Path) -> None:
    slow = "let rec fib = fun n => if n < 2 then n else fib (n - 1) + fib (n - 2) in std.to_string (fib 60)"
    found = only(write(tmp_path, workflow(slow)), msgspec.structs.replace(LOCAL, cpu_seconds=1))
    assert found.code == "too-slow"
    assert "1 CPU seconds" in found.message


DEEP = {
    "brackets": "[" * 100_000 + "]" * 100_000,
    "records": "{a=" * 50_000 + "1" + "}" * 50_000,
    "sums": "+".join(["1"] * 200_000),
}


@pytest.mark.parametrize("value", DEEP.values(), ids=DEEP)
def test_what_is_nested_too_deeply_is_refused(value: str, tmp_path: Path) -> None:
    assert only(write(tmp_path, workflow(value))).code == "too-deep"


@pytest.mark.parametrize("name", ["flow.json", "flow.yaml"])
def test_data_that_is_nested_too_deeply_is_refused(name: str, tmp_path: Path) -> None:
    assert only(write(tmp_path, "[" * 200_000, name)).code in {"too-deep", "too-much-memory", "syntax-error"}


ALIAS_BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
)


def test_a_yaml_alias_bomb_is_refused(tmp_path: Path) -> None:
    assert only(write(tmp_path, ALIAS_BOMB, "flow.yaml")).code == "too-much-memory"


def test_an_alias_bomb_that_is_computed_with_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ALIAS_BOMB, "bomb.yaml")
    value = 'std.serialize \'Json (import "bomb.yaml")'
    assert only(write(tmp_path, workflow(value))).code == "too-much-memory"


def test_a_file_that_imports_itself_is_refused(tmp_path: Path) -> None:
    found = only(write(tmp_path, workflow('(import "flow.ncl").batch_workflow.name')))
    assert (found.code, found.line) == ("import-cycle", 1)


def test_files_that_import_each_other_are_refused(tmp_path: Path) -> None:
    write(tmp_path, '{ x = (import "flow.ncl").batch_workflow }', "other.ncl")
    found = only(write(tmp_path, workflow('(import "other.ncl").x.name')))
    assert (found.code, Path(found.file).name) == ("import-cycle", "other.ncl")


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "/proc/self/environ", "/dev/zero", "../secret.txt", "link.txt", "folder/secret.txt"]
)
@pytest.mark.parametrize("form", ["as 'Text", ""])
def test_an_import_from_outside_is_refused_before_anything_is_read(target: str, form: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text(SECRET)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.txt").symlink_to(tmp_path / "secret.txt")
    (inside / "folder").symlink_to(tmp_path)
    found = only(write(inside, workflow(f'import "{target}" {form}')))
    assert found.code == "import-refused"
    assert (found.line, found.column > 1) == (1, True)


def test_an_import_inside_an_interpolation_and_one_further_down_are_seen(tmp_path: Path) -> None:
    hidden = '"a%{import "/etc/hostname" as \'Text}"'
    assert only(write(tmp_path, workflow(hidden))).code == "import-refused"
    write(tmp_path, '{ text = import "/etc/hostname" as \'Text }', "part.txt")
    found = only(write(tmp_path, workflow('(import "part.txt" as \'Nickel).text')))
    assert (found.code, Path(found.file).name) == ("import-refused", "part.txt")


def test_a_device_or_pipe_inside_the_folder_is_never_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found = only(write(tmp_path, workflow('import "pipe" as \'Text')))
    assert found.code == "import-not-found"
    assert "not a regular file" in found.message


def test_an_import_that_is_no_nickel_shows_nothing_of_it(tmp_path: Path) -> None:
    write(tmp_path, f"{SECRET} is = not nickel", "notes.cfg")
    assert only(write(tmp_path, workflow('import "notes.cfg"'))).code in {"syntax-error", "unbound-name"}


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(LOCAL, file_bytes=1000)
    assert only(write(tmp_path, workflow('"x"') + "#" * 1000), limits).code == "file-too-large"


def test_too_many_imports_are_refused(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path, '"x"', f"{number}.ncl")
    texts = " ++ ".join(f'(import "{number}.ncl")' for number in range(4))
    assert only(write(tmp_path, workflow(texts)), msgspec.structs.replace(SMALL, imports=3)).code == "too-many-imports"


def test_a_result_that_is_too_large_is_refused(tmp_path: Path) -> None:
    assert only(write(tmp_path, workflow('"x"')), msgspec.structs.replace(LOCAL, output_bytes=100)).code == "too-large"


def test_a_source_from_elsewhere_may_import_nothing() -> None:
    for target in ("part.ncl", "/etc/passwd", "/proc/self/environ"):
        loaded = load_source(workflow(f'import "{target}" as \'Text'), "request.ncl")
        assert [found.code for found in loaded.diagnostics] == ["import-refused"]
        assert loaded.diagnostics[0].file == "request.ncl"


def test_a_source_cannot_break_out_of_its_expression() -> None:
    loaded = load_source('{}) & (import "/etc/passwd" as \'Text', "request.ncl")
    assert loaded.workflow is None
    assert "root:" not in msgspec.json.encode(loaded).decode()


def test_this_process_keeps_its_limits_and_starts_no_second_child(tmp_path: Path) -> None:
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_STACK, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE)
    before = [resource.getrlimit(kind) for kind in kinds]
    children = _children()
    only(write(tmp_path, workflow(TOO_MUCH["power bomb"])))
    assert [resource.getrlimit(kind) for kind in kinds] == before
    assert _children() <= children  # others of this process may have ended meanwhile


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


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


def test_the_child_answers_again_after_an_error(start: StartChild | None) -> None:
    with Evaluator(LOCAL, [], start=start) as evaluator:
        with pytest.raises(NickelError, match="unbound identifier"):
            evaluator.run("nobody")
        assert evaluator.run("1 + 1") == b"2"


DEATHS = {
    "too-much-memory": "std.number.pow 7 100000000000",
    "too-deep": "+".join(["1"] * 200_000),
    "too-slow": "let rec fib = fun n => if n < 2 then n else fib (n - 1) + fib (n - 2) in fib 60",
}


@pytest.mark.parametrize("code", DEATHS)
def test_a_dead_child_says_so_each_time_it_is_asked(code: str, start: StartChild | None) -> None:
    with Evaluator(msgspec.structs.replace(SMALL, cpu_seconds=1), [], start=start) as evaluator:
        for _ in range(2):
            with pytest.raises(EvaluationLimitExceeded) as caught:
                evaluator.run(DEATHS[code])
            assert caught.value.code == code


def test_each_evaluation_has_a_fork_of_its_own_that_ends_with_it() -> None:
    forks, used = EvaluatorForks(), []
    for _ in range(3):
        with Evaluator(UNTRUSTED, [], repeats=["json"], start=forks.fork) as evaluator:
            assert evaluator._child is not None
            used.append(evaluator._child.pid)
            assert [found.key for found in evaluator.repeats('{"a": 1, "a": 2}', "json")] == ["a"]
    assert len({*used}) == 3
    assert forks._server is not None
    forks._server.kill()
    forks._server.wait()  # it alone may still have held their process ids
    assert not any(Path("/proc", str(pid), "exe").exists() for pid in used)
    forks.close()


def test_when_the_server_dies_its_fork_does_too_and_there_is_another() -> None:
    forks = EvaluatorForks()
    with Evaluator(UNTRUSTED, [], start=forks.fork) as evaluator:
        assert forks._server is not None
        forks._server.kill()
        with pytest.raises(EvaluationLimitExceeded):
            evaluator.run(DEATHS["too-slow"])
    forks._server.wait()
    with Evaluator(UNTRUSTED, [], start=forks.fork) as evaluator:
        assert evaluator.run("1 + 1") == b"2"
    forks.close()


# ---- what the kernel must give ---------------------------------------------------------------------------------------

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
