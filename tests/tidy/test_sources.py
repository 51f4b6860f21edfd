"""The house rules that no linter knows: sizes, imports, pure rooms, and what may not be named."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from msgspec import Struct

from batchwright.operations.registry import TYPES

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("sources")  # they share what is read of all files
LINES_MAX, BODY_MAX, BYTES_MAX = 400, 60, 1_000_000
LATE_IMPORTS = (
    "app/ssh_identities.py",
    "app/multi_store.py",
    "app/language_model.py",
    "providers/registry.py",
    "cli/emulate.py",
    "app/settings.py",  # these import what only some commands need, which takes longer than most commands
    "cli/completion.py",
    "cli/environment_argument.py",
    "client/discovery.py",
    "client/local.py",
    "journal/surreal/",
    "commands/ssh.py",
    "probes/network.py",
    "login_key_file.py",
    "providers/generated_ssh_keys.py",
    "fleet/configured_carrier.py",
    "serve.py",
    "serve_mcp.py",
    "serve_worker.py",
    "taskservs/runner/__init__.py",
)  # a missing package becomes a clear error, or what few commands need is not loaded for all
_import_rules = configparser.ConfigParser()
_import_rules.read(ROOT / ".importlinter")
PURE = tuple(  # what .importlinter calls pure, as folders and files of the package
    name.removeprefix("batchwright.").replace(".", "/")
    for name in _import_rules["importlinter:contract:pure"]["source_modules"].split()
)
IMPURE_MODULES = {"time", "random", "os", "uuid", "socket", "secrets", "asyncio", "threading", "subprocess"}
IMPURE_CALLS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}
REGISTRIES = tuple(
    ".".join(name)
    for name in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("rubygems", "org"),
        ("ghcr", "io"),
        ("docker", "io"),
        ("quay", "io"),
        ("deb", "debian", "org"),
    )
)


@cache
def tracked() -> dict[str, bytes]:
    """Every file of the repository, by its path, with what it holds."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    return {name: (ROOT / name).read_bytes() for name in names}


def name_of(path: Path) -> str:
    """The path in the repository, as the tests below say it."""
    return str(path.relative_to(ROOT))


def sources(*places: str) -> list[Path]:
    """The Python files of these places."""
    return sorted(path for place in places for path in (ROOT / place).rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
        if not isinstance(child, ast.expr):  # no expression holds a function
            yield from functions(child)


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From the first statement after the docstring to the end."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


class Facts(Struct, frozen=True):
    """What the tests want to know of a file. Its tree is not kept: all of them together are hundreds of MB."""

    documented: bool
    bodies: list[tuple[str, int]]  # functions and their lines
    classes: list[str]  # public ones
    late_imports: list[int]
    types_named: list[str]


@cache
def facts(path: Path) -> Facts:
    module = ast.parse(path.read_text())
    own = [*functions(module)]
    nodes = [] if path.is_relative_to(ROOT / "tests") else [*ast.walk(module)]  # of tests only sizes are looked at
    return Facts(
        not module.body or ast.get_docstring(module) is not None,
        [(function.name, body_lines(function)) for function in own],
        [node.name for node in nodes if isinstance(node, ast.ClassDef) and not node.name.startswith("_")],
        late_imports(own),
        types_named(nodes),
    )


EVERYTHING = sources("src", "plugins", "tests", "bench", "scripts")
OURS = sources("src", *(str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/*/src")))


def test_there_is_something_to_look_at() -> None:
    assert len(EVERYTHING) > 100


def test_modules_and_functions_are_small_enough_to_read() -> None:
    lines = {name_of(path): len(path.read_text().splitlines()) for path in EVERYTHING}
    assert {name: count for name, count in lines.items() if count >= LINES_MAX} == {}
    long = [(name_of(path), *body) for path in EVERYTHING for body in facts(path).bodies if body[1] >= BODY_MAX]
    assert long == []


def test_modules_say_what_they_are_for() -> None:
    assert [name_of(path) for path in OURS if not facts(path).documented] == []
    vague = [path for path in OURS if path.stem in ("utils", "helpers", "manager", "common", "misc")]
    assert [name_of(path) for path in vague] == []


def test_a_public_class_name_stands_once() -> None:
    homes: dict[str, list[str]] = {}
    for path in OURS:
        for name in facts(path).classes:
            homes.setdefault(name, []).append(name_of(path))
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_a_module_is_named_after_a_noun() -> None:
    """What ends in -ing says neither what it holds nor what it makes; these are nouns of the trade."""
    named = [path for path in OURS if path.stem.endswith("ing") and path.stem not in ("listing", "quoting", "wording")]
    assert [name_of(path) for path in named] == []


def late_imports(own: list[ast.FunctionDef | ast.AsyncFunctionDef]) -> list[int]:
    return [
        node.lineno for function in own for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def test_imports_stand_at_the_top_but_where_a_package_is_optional() -> None:
    late = {str(path.relative_to(ROOT / "src/batchwright")): facts(path).late_imports for path in sources("src")}
    assert {name: lines for name, lines in late.items() if lines and not name.startswith(LATE_IMPORTS)} == {}


def impurities(path: Path) -> list[str]:
    """What lets a clock, chance or the outside in."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in IMPURE_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in IMPURE_MODULES:
            found.append(node.module or "")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            found += [f"{owner}.{node.attr}"] if (owner, node.attr) in IMPURE_CALLS else []
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("open", "print", "input")
        ):
            found.append(node.func.id)
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await):
            found.append("await")
    return found


def pure_files() -> list[Path]:
    base = ROOT / "src/batchwright"
    return [path for name in PURE for path in (*base.glob(f"{name}.py"), *sorted(base.glob(f"{name}/**/*.py")))]


def test_what_decides_is_pure() -> None:
    files = pure_files()
    assert len(files) > 30
    found = {name_of(path): set(impurities(path)) for path in files}
    # a clock is a port: it says what others must do
    found = {name: words - {"await"} if name.endswith("/clock.py") else words for name, words in found.items()}
    assert {name: words for name, words in found.items() if words} == {}


def test_no_file_names_a_package_registrys_host() -> None:
    guilty = [(name, word) for name, held in tracked().items() for word in REGISTRIES if word.encode() in held]
    assert guilty == []


def test_no_file_is_binary_or_large() -> None:
    assert [name for name, held in tracked().items() if len(held) > BYTES_MAX or b"\0" in held] == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    words = [f"/{name}/".encode() for name in ("work", "root", "Users", "home")]
    assert [name for name, held in tracked().items() if any(word in held for word in words)] == []


def test_nothing_is_left_to_do() -> None:
    words = tuple("".join(word) for word in (("TO", "DO"), ("FIX", "ME"), ("XX", "X:")))
    guilty = [path for path in EVERYTHING if any(word in path.read_text() for word in words)]
    assert guilty == []


def test_nothing_but_documents_names_a_plug_in() -> None:
    """The interface is enough: neither the package nor what builds, checks and tests it knows the plug-ins here."""
    names = [path.parent.name.encode() for path in ROOT.glob("plugins/*/pyproject.toml")]
    assert names
    others = {name: body for name, body in tracked().items() if not name.startswith("plugins/")}
    guilty = [name for name, body in others.items() if any(one in body.lower() for one in names)]
    assert [name for name in guilty if not name.endswith(".md")] == []


TYPE_MODULES = tuple(kind.operation.__module__.removeprefix("batchwright.operations.").split(".")[0] for kind in TYPES)
KNOW_TYPES = {  # who may import the module of an operation type, besides operations/ and the handlers
    "providers": "a port and its adapters name the request that they carry out",
    "taskservs": "likewise",
    "commands": "likewise",
    "probes": "likewise",
    "places": "wraps ports",
    "emulators": "a real provider stands behind an emulated cloud",
    "testing": "builds workflows, and wraps ports",
    "rehearsal": "wraps ports, and looks at what their requests came to",
    "__init__.py": "what plug-ins import",
    "app/preflight.py": "asks a port about requests",
    "app/server_request_resolution.py": "likewise",
    "app/plan_file_prerequisites.py": "likewise, of a plan that comes from a file",
    "app/catalogue_changes.py": "compares the entries of task services with those that were planned",
    "app/install_artifacts.py": "finds the files that task services put on servers",
    "loader/taskserv_checks.py": "checks values as the planner does, to say where they stand",
    "app/patient_provider.py": "wraps a port",
    "app/workload_health.py": "the use case of `check`, about task services and checks",
    "app/install_preview.py": "the use case of `plan --check`, which is about task services only",
    "app/environment_drift.py": "the use case of `drift`, which asks the runner about task services",
    "app/definition_edit.py": "the use case of `ask author --service`, which writes an install of task services",
}


def types_named(nodes: list[ast.AST]) -> list[str]:
    """Where a module imports an operation type, decides by a type's name, or decides by an action."""
    found = []
    names = {kind.name for kind in TYPES}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("batchwright.operations."):
            module = (node.module or "").split(".")[2]
            found += [f"imports {module}"] if module in TYPE_MODULES else []
        elif isinstance(node, ast.Compare | ast.MatchValue | ast.Subscript | ast.Dict):
            parts = node.keys if isinstance(node, ast.Dict) else list(ast.iter_child_nodes(node))
            found += [
                f"decides by {one.value}" for one in parts if isinstance(one, ast.Constant) and one.value in names
            ]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Action":
            found.append(f"decides by Action.{node.attr}")
    return found


def test_only_its_own_rooms_know_an_operation_type() -> None:
    """A new type is a few files; the rest of the package asks operations/registry.py and model/actions.py."""
    base = ROOT / "src/batchwright"
    own = ("operations/", "engine/handlers/", "model/actions.py")
    places = {path: str(path.relative_to(base)) for path in sources("src")}
    named = {place: facts(path).types_named for path, place in places.items() if not place.startswith(own)}
    guilty = {place: found for place, found in named.items() if found}
    allowed = {place for place in guilty if place.split("/")[0] in KNOW_TYPES or place in KNOW_TYPES}
    assert {place: found for place, found in guilty.items() if place not in allowed} == {}
    needless = {one for one in KNOW_TYPES if not any(place.startswith(one) for place in allowed)}
    assert needless == set()


def test_who_knows_an_operation_type_is_found(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(
        "from batchwright.operations.command import Command\n"
        "if op.type == 'server_batch' or step.action is Action.RUN:\n    WORDS = {'command': 1}\n"
    )
    assert sorted(facts(bad).types_named) == [
        "decides by Action.RUN",
        "decides by command",
        "decides by server_batch",
        "imports command",
    ]


def test_pytest_can_tell_all_test_modules_apart() -> None:
    """Outside of packages it imports a module by its file's name alone."""
    loose = Counter(path.stem for path in sources("tests") if not (path.parent / "__init__.py").exists())
    assert [name for name, count in loose.items() if count > 1 and name.startswith("test_")] == []


def test_a_missing_part_is_skipped_in_one_place() -> None:
    """So that no test is skipped in CI, where the set-up brings every part, without failing there."""
    words = re.compile(r"pytest\.(skip|importorskip|mark\.skip)|\bskipif\(")
    found = [path.name for path in sources("tests") if words.search(path.read_text()) and path != Path(__file__)]
    assert found == ["needs.py"]


STREAM_USES = {"isatty", "fileno", "flush", "reconfigure"}  # what tells or ends something, and writes nothing
PRINTERS = {"print", "echo", "secho", "confirm", "prompt", "print_exc", "Console", "pprint", "input"}


def prints_around(path: Path) -> list[str]:
    """What reaches a terminal other than through cli/output.py, where every text is made fit for it."""
    found = []
    module = tree(path)
    parents = {id(child): node for node in ast.walk(module) for child in ast.iter_child_nodes(node)}
    ours = {alias.name for node in ast.walk(module) if isinstance(node, ast.ImportFrom)
            and node.module == "batchwright.cli.output" for alias in node.names}  # fmt: skip
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr"):
            used = parents[id(node)]
            if not (isinstance(used, ast.Attribute) and used.attr in STREAM_USES) and not _is_loop(used):
                found.append(ast.unparse(used))
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            paper = owner in ("console", "self._live.console", "out()", "err()") and name == "print"
            if name in PRINTERS and name not in ours and not paper:
                found.append(ast.unparse(node.func))
    return found


def _is_loop(node: ast.AST) -> bool:
    """`for stream in (sys.stdout, sys.stderr)`, to set how they encode."""
    return isinstance(node, ast.Tuple)


def test_nothing_is_shown_but_through_the_one_place_that_makes_it_fit_for_a_terminal() -> None:
    """B7"""
    doors = [path for path in sources("src/batchwright/cli") if path.name != "output.py"]
    assert len(doors) > 10
    found = {name_of(path): prints_around(path) for path in [*doors, ROOT / "src/batchwright/serve.py"]}
    assert {name: prints for name, prints in found.items() if prints} == {}


def test_what_prints_around_it_is_found(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import sys\nprint(1)\nsys.stdout.write('x')\ntyper.echo('x')\nf(sys.stderr)\n")
    assert sorted(prints_around(tmp_path / "bad.py")) == ["f(sys.stderr)", "print", "sys.stdout.write", "typer.echo"]


def test_the_threat_model_names_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 30
    assert [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text()] == []
    notes = {int(number) for number in re.findall(r"^(\d+)\. `", text, re.MULTILINE)}
    assert {int(number) for number in re.findall(r"\[(\d+)\]", text)} == notes
