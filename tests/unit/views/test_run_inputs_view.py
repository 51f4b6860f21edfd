"""What a run was planned from, as `status` and `explain` show it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.app.run_provenance import recorded_inputs
from batchwright.model.events import RunCreated
from batchwright.model.run import Run
from batchwright.model.run_provenance import VALUE_MAX, InputFile, RunInputs
from batchwright.testing.plans import plan_of, servers, workflow
from batchwright.views.run import run_view
from batchwright.views.run_provenance import inputs_line

INPUTS = RunInputs(
    (InputFile("shop.ncl", "a" * 64), InputFile("prod.ncl", "b" * 64)),
    {"n": "2"},
    (InputFile("/srv/entries", "c" * 64),),
    "c0ffee" * 6,
    clean=True,
    machine="vm",
    by="ada",
)


def test_everything_stands_in_one_line() -> None:
    words = (
        "shop.ncl (sha256 aaaaaaaaaaaa), prod.ncl (sha256 bbbbbbbbbbbb), n=2, catalogue /srv/entries (sha256 "
        "cccccccccccc), commit c0ffeec0ffee{state}, by ada on vm"
    )
    assert inputs_line(INPUTS) == words.format(state="")
    assert inputs_line(replace(INPUTS, clean=False)) == words.format(state=", and files differ from it")
    assert inputs_line(replace(INPUTS, clean=None)) == words.format(state=", files not compared")
    from_file = replace(INPUTS, plan_file=InputFile("shop.plan", "d" * 64))
    assert inputs_line(from_file).endswith("by ada on vm, applied from shop.plan (sha256 dddddddddddd)")
    assert inputs_line(None) == ""


def test_a_view_has_them_with_long_values_shortened() -> None:
    plan = plan_of(workflow(servers("up", "a")), {})
    long = replace(INPUTS, values={"key": "x" * 5_000})
    view = run_view(Run(RunCreated(1.0, "run", plan, inputs=long)), 2.0)
    assert view.inputs is not None
    assert len(view.inputs.values["key"]) <= VALUE_MAX
    assert run_view(Run(RunCreated(1.0, "run", plan, inputs=INPUTS)), 2.0).inputs == INPUTS
    assert run_view(Run(RunCreated(1.0, "run", plan)), 2.0).inputs is None, "a run older than this"


def test_no_secret_is_recorded(tmp_path: Path) -> None:
    file = tmp_path / "shop.ncl"
    file.write_text("{}")
    values = {"db.password": "abc", "url": "http://ada:hunter22@proxy/", "said": "my hunter33 x", "n": "2"}
    recorded = recorded_inputs((file,), values, (), {"MY_TOKEN": "hunter33", "PATH": "/usr/bin"})
    assert recorded.values == {"db.password": "***", "url": "***", "said": "***", "n": "2"}
    assert recorded.folder == str(tmp_path)
    assert [one.name for one in recorded.files] == [str(file)]


def test_a_catalogue_has_the_digest_of_its_entries(tmp_path: Path) -> None:
    file, entry = tmp_path / "shop.ncl", tmp_path / "own" / "hello"
    file.write_text("{}")
    entry.mkdir(parents=True)
    (entry / "taskserv.yaml").write_text("name: hello\nversion: '1'\nsummary: Says hello.\nseconds: 1\n")
    (entry / "deploy.py").write_text("def install() -> None: ...\n")

    def digest() -> str:
        (one,) = recorded_inputs((file,), {}, (tmp_path / "own",), {}).catalogues
        assert one.name == str(tmp_path / "own")
        return one.digest

    before = digest()
    assert digest() == before
    (entry / "deploy.py").write_text("def install() -> None: pass\n")
    assert digest() != before


@pytest.mark.parametrize(("folder", "name", "place"), [
    ("/srv/shop", "", "/started"), ("/srv/shop", "a/../b", "/srv/shop/b"), ("/srv/shop", "/abs", "/abs"),
])  # fmt: skip
def test_where_a_command_works(folder: str, name: str, place: str) -> None:
    assert RunInputs(folder=folder, started="/started").directory(name) == place
