"""Hostile files: each ends in one clean diagnostic, shows nothing of other files, and leaves this process unharmed."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import msgspec
import pytest

from batchwright.loader import (
    LOCAL,
    UNTRUSTED,
    LoaderLimits,
    load,
    load_source,
)
from batchwright.loader.evaluator_client import EvaluationLimitExceeded, Evaluator, NickelError, StartChild
from batchwright.loader.evaluator_forks import EvaluatorForks
from batchwright.model.diagnostic import Diagnostic

pytestmark = pytest.mark.usefixtures("own_evaluator")
SMALL = msgspec.structs.replace(LOCAL, memory_mib=256, cpu_seconds=2, wall_seconds=20.0)
SECRET = "TOP-SECRET-CONTENT"


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
