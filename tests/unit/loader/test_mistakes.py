"""The corpus of broken files: each mistake has its place and its code, and Nickel alone refuses the file too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.loader import LOCAL, load
from batchwright.loader.evaluator_client import Evaluator, NickelError
from batchwright.loader.sources import schema_folder
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.taskservs.catalogue import load_catalogue

FOLDER = Path(__file__).parents[2] / "mistakes"
SIDECAR = FOLDER / "expected.txt"


def expected() -> dict[str, list[str]]:
    files: dict[str, list[str]] = {}
    for line in SIDECAR.read_text().splitlines():
        if not line.startswith("#"):
            name, rest = line.split(" ", 1)
            files.setdefault(name, []).append(rest)
    return files


EXPECTED = expected()
PATIENT = replace(LOCAL, search_seconds=600.0)  # however busy the machine is: places are what is tried here


def place_and_code(found: Diagnostic) -> str:
    return f"{found.line}:{found.column} {found.code}"


@pytest.mark.parametrize("name", EXPECTED)
def test_every_mistake_is_placed_and_coded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    loaded = load(Path(name), catalogue=load_catalogue(), limits=PATIENT)
    assert [place_and_code(found) for found in loaded.diagnostics] == EXPECTED[name]
    assert loaded.workflow is None
    assert any(found.severity is Severity.ERROR for found in loaded.diagnostics)
    assert all(found.file == name and found.message for found in loaded.diagnostics)


def test_the_corpus_is_complete_and_large_enough() -> None:
    assert {file.name for file in FOLDER.iterdir()} - {SIDECAR.name} == set(EXPECTED)
    assert len(EXPECTED) >= 40
    assert {Path(name).suffix for name in EXPECTED} >= {".ncl", ".json", ".yaml", ".yml"}


# What only the loader can see: it reads files before Nickel does, compares what Nickel gives with what was written,
# and knows the catalogue.
LOADER_ONLY = {
    *("hidden-field", "byte-order-mark", "not-utf-8", "unknown-format", "import-refused", "import-cycle"),
    *("taskserv-unknown", "taskserv-name", "taskserv-single", "variable-unknown", "variable-invalid"),
    *("duplicate-key", "second-document", "unsupported-merge"),
    *("unknown-reference", "reference-misplaced", "reference-ambiguous", "reference-not-depended-on"),
    *("ssh-key-invalid", "ssh-key-private"),
}


LASTING = replace(LOCAL, cpu_seconds=600, wall_seconds=3600.0)  # one child for the whole module


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    with Evaluator(LASTING, [FOLDER, schema_folder()]) as running:
        yield running


@pytest.mark.parametrize(
    "name", [name for name, found in EXPECTED.items() if not LOADER_ONLY & {line.split()[-1] for line in found}]
)
def test_nickel_alone_refuses_it_too(name: str, evaluator: Evaluator) -> None:
    with pytest.raises(NickelError):
        evaluator.run(f'(import "{FOLDER / name}") | (import "{schema_folder()}/workflows.ncl").File')
