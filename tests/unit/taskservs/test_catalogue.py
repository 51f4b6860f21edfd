"""The catalogue: the built-in entries are right, and a wrong entry is named with its file, its field and the remedy."""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from batchwright.errors import CatalogueInvalid
from batchwright.plan import build
from batchwright.taskservs.catalogue import GROUP, digest_of, entries, load_catalogue, metadata
from batchwright.testing.plans import empty_world, servers, taskservs, workflow

BARE = 'name: {name}\nversion: "1"\nsummary: for a test\nseconds: 5\n'


def write(root: Path, name: str, more: str = "", body: str = BARE) -> Path:
    (root / name).mkdir(parents=True)
    file = root / name / "taskserv.yaml"
    file.write_text(body.format(name=name) + more)
    return file


def refusal(root: Path) -> CatalogueInvalid:
    with pytest.raises(CatalogueInvalid) as caught:
        load_catalogue([root])
    return caught.value


def test_the_built_in_entries() -> None:
    catalogue = load_catalogue()
    kubernetes, monitoring = ["cilium", "containerd", "kubernetes"], ["node-exporter", "prometheus"]
    others = ["etcd", "files", "haproxy", "nginx", "postgresql", "redis", "unit", "users"]
    assert list(catalogue) == sorted([*kubernetes, *monitoring, *others])
    assert catalogue["kubernetes"].requires == ("container-runtime",)
    assert catalogue["containerd"].defaults("local")["snapshotter"] == "native"
    assert all(entry.summary and entry.seconds > 0 for entry in catalogue.values())


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, entry in load_catalogue().items()
        if all(one.optional or one.default is not None for one in entry.variables.values())
    ],
)
def test_each_built_in_entry_that_needs_no_values_can_be_planned_by_itself(name: str) -> None:
    flow = workflow(servers("made", "web-01"), taskservs("on", name, after=["made"]))
    plan = build(flow, load_catalogue(), empty_world(flow)).plan
    assert plan is not None
    assert plan.steps[-1].request.name == name


def test_folders_of_the_user_add_entries(tmp_path: Path) -> None:
    write(tmp_path, "varnish", "requires: [container-runtime]\n")
    (tmp_path / "notes").mkdir()
    catalogue = load_catalogue([tmp_path])
    assert catalogue["varnish"].requires == ("container-runtime",)
    assert "redis" in catalogue
    assert "notes" not in catalogue


@pytest.mark.parametrize(
    ("more", "what", "hint"),
    [
        ("secnds: 5\n", "unknown field `secnds`", 'Did you mean "seconds"?'),
        ("needs: {memory: 5}\n", "needs: Object contains unknown field `memory`", 'Did you mean "memory_mb"?'),
        ("needs: {memory_mb: lots}\n", "needs.memory_mb: Expected `int`, got `str`", "Correct the value."),
        ("requires: containerd\n", "requires: Expected `array`, got `str`", "Correct the value."),
        ("needs: {memory_mb: -1}\n", "needs.memory_mb: it must not be negative", "Correct the number."),
        ("digest: abc\n", "digest: it is computed from the folder", "Leave it out."),
        ("requires: [containrd]\n", 'nothing provides "containrd"', 'Did you mean "containerd"?'),
        ("requires: [own]\nprovides: [own]\n", "circular dependency", "Remove one of these requirements."),
        (
            "variables: {port: {type: prt, summary: x}}\n",
            "variables.port.type: Invalid enum value 'prt'",
            "Correct the value.",
        ),
        (
            "variables: {port: {type: port, summary: x, default: 0}}\n",
            "variables.port.default: 0 is not a port from 1 to 65535",
            "Write a port from 1 to 65535.",
        ),
        ("variables: {mode: {type: enum, summary: x}}\n", "variables.mode.values", "Correct the type."),
        ("variables: {mode: {type: list, of: enum, summary: x}}\n", "variables.mode.values", "Correct the type."),
        ("variables: {mode: {type: list, of: list, summary: x}}\n", "variables.mode.of", "Correct the type."),
        ("variables: {mode: {type: string, of: port, summary: x}}\n", "variables.mode.of", "Leave it out."),
        ("variables: {mode: {type: list, of: port, summary: x, least: 1}}\n", "variables.mode.least", "Leave"),
        (
            "variables: {mode: {type: list, summary: x, default: [1]}}\n",
            "variables.mode.default: (1,) is not a list, each element a string",
            "Write a list",
        ),
        (
            "variables: {mode: {type: string, summary: x}}\nvariants: {aws: {variables: {mood: y}}}\n",
            "variants.aws.variables.mood: the entry has no such variable",
            'Did you mean "mode"?',
        ),
        (
            "variables: {mode: {type: string, summary: x}}\nvariants: {aws: {variables: {mode: 1}}}\n",
            "variants.aws.variables.mode: 1 is not a string without line ends and other control characters",
            "Write a string without line ends and other control characters.",
        ),
        (
            "variables: {pw: {type: secret, summary: x, default: hunter2}}\n",
            "variables.pw.default: a secret must not be written here",
            "Leave the default out.",
        ),
        (
            "variables: {port: {type: port, summary: x, default: 1, optional: true}}\n",
            "variables.port: a variable with a default is always set",
            "Leave out `optional`, or the default.",
        ),
        (
            "variables: {bind: {type: address, summary: x, default: '${server.adress}'}}\n",
            "variables.bind.default: '${server.adress}' is not ${server.address} or ${server.name}",
            "Write ${server.address} or ${server.name} where it is about its server.",
        ),
        (
            "variables: {server: {type: string, summary: x}}\n",
            "variables.server: v.server",
            "Choose another name.",
        ),
        (
            "variables: {Port: {type: port, summary: x}}\n",
            'variables.Port: "Port" is not a name',
            "Use lower-case letters, digits and underscores.",
        ),
        (
            "timeouts: {install: 10 minutes}\n",
            "timeouts.install: '10 minutes' is no duration above 0",
            "Write seconds,",
        ),
        (
            "check: [{name: unit, run: 'true', every: 0}]\n",
            "check.unit.every: 0 is no duration above 0",
            'Write seconds, or "30s", "10m".',
        ),
        (
            "check: [{name: unit, rum: 'true'}]\n",
            "check.unit: Object contains unknown field `rum`",
            'Did you mean "run"?',
        ),
        ("check: [{name: a, run: x}, {name: a, run: x}]\n", "check.a: the name is used twice", "Give one of them"),
        ("check: [{name: a, run: ''}]\n", "check.a: it needs one of `run`, `http` and `tcp`", "Correct the value."),
        (
            "check: [{name: a, run: x, tcp: {host: $bind, port: 80}}]\n",
            "check.a: it needs one of",
            "Correct the value.",
        ),
        ("check: [{name: a, tcp: {host: $bind, port: 0}}]\n", "check.a.tcp.port: 0 is no port", "Write a number"),
        ("check: [{name: a, tcp: {host: $bind, port: web}}]\n", "check.a.tcp.port: 'web' is no port", "Write a number"),
        ("check: [{name: a, http: {url: 'https://x/'}}]\n", "check.a.http.url: 'https://x/' is not", 'Write "http://'),
        (
            "check: [{name: a, http: {uri: 'http://x/'}}]\n",
            "check.a.http: Object contains unknown field `uri`",
            'Did you mean "url"',
        ),
        (
            "outputs: {key: {run: x}}\n",
            "outputs: only entries of scope cluster have them",
            "Write scope: cluster, or leave them out.",
        ),
        ("scope: node\n", "scope: Invalid enum value 'node'", "Correct the value."),
        ("summary: [\n", "is not YAML", "Correct the line it names."),
    ],
)
def test_a_mistake_is_named_with_file_field_and_remedy(tmp_path: Path, more: str, what: str, hint: str) -> None:
    file = write(tmp_path, "mine", more)
    error = refusal(tmp_path)
    assert error.message.startswith(f"{file}: ")
    assert what in error.message
    assert error.hint.startswith(hint)


def test_a_version_without_quotes_is_a_number_and_the_hint_says_so(tmp_path: Path) -> None:
    write(tmp_path, "mine", body="name: {name}\nversion: 1.30\nsummary: x\nseconds: 5\n")
    error = refusal(tmp_path)
    assert "version: Expected `str`, got `float`" in error.message
    assert "quotes" in error.hint


def test_all_mistakes_of_an_entry_are_found_in_one_go(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "mine",
        "scope: node\nvariables: {a: {type: prt, summary: x}, b: {type: port}}\n"
        "check: [{nam: x}]\ntimeouts: {remove: no}\n",
    )
    found = [one.message.split(":")[0] for one in metadata.examine(tmp_path / "mine").mistakes]
    assert found == ["variables.a.type", "variables.b", "check[0]", "timeouts.remove", "scope"]
    error = refusal(tmp_path)
    assert error.message.startswith(f"{file}: variables.a.type: ")
    assert error.message.endswith(f", and 4 more: batchwright taskservs check {tmp_path / 'mine'}")


@pytest.mark.parametrize("name", ["taskserv.yaml", "extra.conf"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_only_regular_files_are_read(name: str, kind: str, tmp_path: Path) -> None:
    """B3: a pipe in a folder of task services was waited for, and a device read until there was no memory."""
    folder = write(tmp_path, "mine", "scope: node\n").parent
    (folder / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero")
    found = [one.message for one in metadata.examine(folder).mistakes]
    assert len(found) == 1
    assert f"{name} does not exist or is not a regular file" in found[0]


def test_durations_may_be_texts(tmp_path: Path) -> None:
    write(
        tmp_path, "mine", "timeouts: {install: 10m, remove: 90}\ncheck: [{name: a, run: x, every: 2s, timeout: 1.5m}]"
    )
    entry = load_catalogue([tmp_path])["mine"]
    assert (entry.timeouts.install, entry.timeouts.remove) == (600.0, 90.0)
    assert (entry.check[0].every, entry.check[0].timeout) == (2.0, 90.0)


def test_the_digest_is_of_all_files_but_what_python_makes(tmp_path: Path) -> None:
    write(tmp_path, "mine")
    first = load_catalogue([tmp_path])["mine"].digest
    assert len(first) == 16
    (tmp_path / "mine" / "__pycache__").mkdir()
    (tmp_path / "mine" / "__pycache__" / "deploy.pyc").write_bytes(b"x")
    assert digest_of(tmp_path / "mine") == first
    (tmp_path / "mine" / "files").mkdir()
    (tmp_path / "mine" / "files" / "a.conf").write_text("one")
    second = digest_of(tmp_path / "mine")
    (tmp_path / "mine" / "files" / "a.conf").write_text("two")
    assert len({first, second, digest_of(tmp_path / "mine")}) == 3


def test_a_folder_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "mine")
    monkeypatch.setattr(metadata, "FOLDER_BYTES_MAX", 10)
    assert "the folder holds more than" in refusal(tmp_path).message


def test_every_entry_knows_its_folder(tmp_path: Path) -> None:
    write(tmp_path, "mine")
    catalogue = load_catalogue([tmp_path])
    assert catalogue.folders.keys() == catalogue.keys()
    assert catalogue.folders["mine"] == tmp_path / "mine"


def test_the_name_is_that_of_the_folder_and_nobody_elses(tmp_path: Path) -> None:
    write(tmp_path / "a", "mine", body=BARE.replace("{name}", "other"))
    assert 'not the name of its folder, "mine"' in refusal(tmp_path / "a").message
    write(tmp_path / "b", "redis")
    assert 'a task service "redis" already' in refusal(tmp_path / "b").message
    write(tmp_path / "c", "No_Name")
    assert "is not a name" in refusal(tmp_path / "c").message


def test_a_folder_without_entries_or_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "holds no task service" in refusal(tmp_path).message
    assert "is not a folder" in refusal(tmp_path / "missing").message


def test_a_file_that_is_too_large_or_no_text_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", "mine", "#" * metadata.ENTRY_BYTES_MAX)
    assert "more than 262144 bytes" in refusal(tmp_path / "a").message
    write(tmp_path / "b", "mine").write_bytes(b"name: \xff\xfe")
    assert "is not YAML" in refusal(tmp_path / "b").message


def test_installed_packages_bring_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "acme_taskservs"
    write(package, "acme-agent")
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("acme", "acme_taskservs", GROUP)
    monkeypatch.setattr(entries, "entry_points", lambda group: [point] if group == GROUP else [])
    assert "acme-agent" in load_catalogue()
    sys.modules.pop("acme_taskservs", None)


def test_a_package_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("acme", "not_there_at_all", GROUP)
    monkeypatch.setattr(entries, "entry_points", lambda group: [point])
    with pytest.raises(CatalogueInvalid, match='"acme" \\(not_there_at_all\\)') as caught:
        load_catalogue()
    assert "uninstall" in caught.value.hint
