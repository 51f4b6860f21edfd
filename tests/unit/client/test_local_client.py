"""The client of this machine's stores: what planning and running a file share, and what a run does not need."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.app import plans
from batchwright.app.plans import check
from batchwright.app.settings import Settings
from batchwright.app.workflow_source import Source
from batchwright.client.local import LocalClient
from batchwright.errors import CatalogueInvalid
from batchwright.model.lifecycle import RunState
from batchwright.providers.simulated import Simulated
from batchwright.taskservs.catalogue import Catalogue

SERVERS = {
    "id": "web",
    "type": "server_batch",
    "provider": "simulated",
    "server_configs": [{"name": "web-01", "plan": "small", "zone": "zone-a"}],
}
INSTALLS = {
    "id": "installs",
    "type": "taskserv_batch",
    "provider": "simulated",
    "taskservs": ["redis"],
    "dependencies": ["web"],
}


def source(folder: Path, *operations: object) -> Source:
    file = folder / "one.json"
    file.write_text(json.dumps({"batch_workflow": {"name": "one", "version": "1", "operations": operations}}))
    return Source(file)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often simulated providers were opened and closed, in order."""
    told: list[str] = []
    for name in ("open", "aclose"):
        real = getattr(Simulated, name)

        async def counted(self: Simulated, name: str = name, real: object = real) -> None:
            told.append(name)
            await real(self)  # type: ignore[operator]

        monkeypatch.setattr(Simulated, name, counted)
    return told


def test_a_run_is_driven_with_the_providers_that_its_plan_was_made_with(tmp_path: Path, calls: list[str]) -> None:
    settings, asked = Settings(tmp_path / "state"), source(tmp_path, SERVERS)
    with LocalClient(settings) as client:
        planned = client.plan(asked, check(asked, settings), {"time_scale": 0})
        assert planned.plan is not None
        assert calls == ["open"]
        run, progress = client.start(planned.plan, "")
        with progress:
            last = list(progress)[-1]
        assert last.view.status is RunState.COMPLETED
        assert calls == ["open", "aclose"]
        client.look(run)
    assert calls == ["open", "aclose"]


def test_a_run_may_need_more_than_its_file_names(tmp_path: Path) -> None:
    """It removed a task service that the file no longer has, and nothing that removes one had been opened."""
    settings = Settings(tmp_path / "state")
    for operations, retire in (((SERVERS, INSTALLS), False), ((SERVERS,), True)):
        asked = replace(source(tmp_path, *operations), retire=retire)
        with LocalClient(settings) as client:
            planned = client.plan(asked, check(asked, settings), {"time_scale": 0})
            assert planned.plan is not None
            with client.start(planned.plan, "")[1] as progress:
                last = list(progress)[-1]
            assert last.view.status is RunState.COMPLETED
    with LocalClient(settings) as client:
        assert client.environment("one").taskservs == 0


def test_what_a_plan_opened_is_closed_without_a_run(tmp_path: Path, calls: list[str]) -> None:
    settings, asked = Settings(tmp_path / "state"), source(tmp_path, SERVERS)
    with LocalClient(settings) as client:
        client.plan(asked, check(asked, settings), {})
    assert calls == ["open", "aclose"]


def test_the_catalogue_is_read_only_for_what_installs_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Sequence[Path] = ()) -> Catalogue:
        raise CatalogueInvalid("broken")

    monkeypatch.setattr(plans, "load_catalogue", broken)
    settings = Settings(tmp_path / "state")
    assert check(source(tmp_path, SERVERS), settings).workflow is not None
    with pytest.raises(CatalogueInvalid):
        check(source(tmp_path, SERVERS, INSTALLS), settings)


def test_folders_that_the_user_names_are_read_whatever_the_file_installs(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "state", catalogues=(tmp_path / "missing",))
    with pytest.raises(CatalogueInvalid, match="is not a folder"):
        check(source(tmp_path, SERVERS), settings)
