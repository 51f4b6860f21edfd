"""What the listing of providers, their live check and rehearsals make of a provider that is at a place."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from batchwright.app.live_verification import verify
from batchwright.app.provider_capabilities import ProviderOffer, provider_offers
from batchwright.app.rehearsal import RehearsalOptions, rehearse
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.app.workflow_source import Source
from batchwright.errors import PlaceRefused, ProviderUnavailable
from batchwright.model.plan import Guard
from batchwright.places.call_answerer import CallAnswerer
from batchwright.places.carrier import START_SECONDS, Carrier, PlaceCall
from batchwright.providers.base import Capabilities
from batchwright.providers.simulated import Simulated, Simulation, World
from batchwright.testing.virtual_clock import VirtualClock
from batchwright.views.rehearsal import RehearsalView
from tests.support.place_carrier import MemoryCarrier, Ports

THERE = Capabilities(Guard.LABEL_ONLY, settle_seconds=33.0, call_timeout=7.0, visible_seconds=5.0)


def settings_with(folder: Path, carrier: Carrier | None) -> Settings:
    return Settings(folder / "state", carrier=carrier, providers={"upcloud": {"at": "far"}})


def carrier_to(ports: Ports) -> Carrier:
    return MemoryCarrier({"far": CallAnswerer(ports)})


def working() -> Carrier:
    provider = Simulated("upcloud", World(), VirtualClock(), Simulation.instant(), THERE)
    return carrier_to(Ports({"upcloud": provider}))


def offer(settings: Settings) -> ProviderOffer:
    (found,) = [one for one in asyncio.run(provider_offers(settings)) if one.name == "upcloud"]
    return found


def test_the_listing_has_what_the_place_promises_at_its_distance(tmp_path: Path) -> None:
    can = offer(settings_with(tmp_path, working())).capabilities
    assert can is not None
    assert (can.at, can.settle_seconds) == ("far", 33.0 + 7.0 + START_SECONDS)


def test_the_listing_says_why_a_place_was_not_asked(tmp_path: Path) -> None:
    def refuse(call: PlaceCall) -> None:
        raise PlaceRefused(f"the worker may not call {call.target} to look")

    refused = offer(settings_with(tmp_path, carrier_to(Ports(refuse=refuse))))
    assert (refused.capabilities, refused.trouble) == (None, "at far: the worker may not call upcloud to look")
    unusable = offer(settings_with(tmp_path, None))
    assert (unusable.capabilities, unusable.trouble) == (None, "nothing carries calls to the place far")
    assert "[temporal]" in unusable.hint


def test_the_live_check_of_a_provider_at_a_place_is_run_there(tmp_path: Path) -> None:
    with pytest.raises(ProviderUnavailable, match="upcloud is called from far") as raised:
        asyncio.run(verify("upcloud", settings_with(tmp_path, working()), 1.0, print))
    assert raised.value.hint.startswith("Run it at far")


def rehearsed(folder: Path, carrier: Carrier | None, experiment: str = "up/a create:capacity") -> RehearsalView:
    batch = {"id": "up", "type": "server_batch", "provider": "upcloud"}
    batch |= {"server_configs": [{"name": "a", "plan": "1xCPU-2GB", "zone": "de-fra1"}]}
    install = {"id": "web", "type": "taskserv_batch", "provider": "upcloud", "at": "other", "dependencies": ["up"]}
    install |= {"targets": ["up"], "taskservs": ["nginx"]}
    program = {"id": "told", "type": "command", "at": "other", "run": ["/bin/true"], "dependencies": ["web"]}
    there = {**program, "id": "there", "targets": ["a"]}
    about = {"name": "small", "version": "1", "operations": [batch, install, program, there]}
    file = folder / "small.json"
    file.write_text(json.dumps({"batch_workflow": about}))
    answer = rehearse(settings_with(folder, carrier), SystemClock(), Source(file), RehearsalOptions(at=experiment))
    assert answer.report is not None, answer.planned.diagnostics
    return answer.report


def test_a_rehearsal_counts_on_what_the_place_promises(tmp_path: Path) -> None:
    assert rehearsed(tmp_path, working()).providers == {"upcloud": "label_only, settles in 50 s, lists within 5 s"}


def test_a_rehearsal_says_that_a_place_was_not_asked(tmp_path: Path) -> None:
    told = "what upcloud promises at far, which could not be asked: nothing carries calls to the place far"
    assert rehearsed(tmp_path, None).cannot_tell[-1] == told


def test_what_is_done_from_a_place_is_rehearsed_like_the_rest(tmp_path: Path) -> None:
    report = rehearsed(tmp_path, None, "told/run run:lost_answers")
    assert [one.kind for one in report.findings] == ["doubt"]
