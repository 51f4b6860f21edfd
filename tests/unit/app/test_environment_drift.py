"""Drift: what an environment has, compared with what its runs asked for; what is accepted, and what cannot be seen."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from batchwright.app.environment_drift import find_drift
from batchwright.cli.drift import show_drift
from batchwright.errors import EnvironmentNotFound
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import Leftover, Resource
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.plan import Guard, ProviderFacts
from batchwright.model.workflow import AcceptedDifference, Drift, Workflow
from batchwright.operations.observations import ProviderObserved
from batchwright.plan.build import told_by_the_file
from batchwright.providers.simulated import Simulated, World
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.views.drift import DriftItem, DriftState, EnvironmentDrift, environment_drift, orphans, server_items
from tests.unit.app.test_environment_state import created, done, shop
from tests.unit.app.test_runs import House, housed

RUN = "abcdefghijkl"
WEB = Resource(
    "server", "web", provider="upcloud", account="acme", ref="ref-1", run=RUN,
    request={"plan": "small", "zone": "eu", "image": "debian", "labels": {"tier": "web", "team": "a"}},
)  # fmt: skip
SEEN = Observed("ref-1", ServerState.READY, name="web", run=RUN, plan="small", zone="eu", image="debian")
SEEN = replace(SEEN, labels={"tier": "web", "team": "a", "cost-centre": "7"})


def accepted(*fields: str, taskservs: tuple[str, ...] = (), end: str = "9999-12-31") -> AcceptedDifference:
    return AcceptedDifference("a", "the sale", end, fields, taskservs)


async def looked(house: House, name: str = "shop") -> EnvironmentDrift:
    return await find_drift(house.settings, house.stores, house.clock, name)


def told(found: EnvironmentDrift) -> list[tuple[str, str, str]]:
    return [(one.kind, one.name, one.state) for one in found.items if one.state is not DriftState.SAME]


# -- the whole use case, over the simulated world ---------------------------------------------------------------------


def test_an_environment_right_after_its_run_has_not_drifted(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await done(house, shop("a", "b"))
        found = await looked(house)
        assert (found.ok, found.run, found.changing, found.simulated) == (True, run.id, "", True)
        assert found.counts == {"same": 4, "drifted": 0, "accepted": 0, "unknown": 0}
        with pytest.raises(EnvironmentNotFound, match="shp"):
            await looked(house, "shp")

    housed(tmp_path, play)


def test_what_was_changed_by_hand_is_named(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b", "c"))
        now = house.clock.now()
        with closing(World(house.settings.world_file)) as world:
            by_name = {one.name: one for one in world.servers()}
            world.remove(by_name["a"].ref, "nginx")
            world.destroy(by_name["b"].ref, now, now)
            world.plant(replace(by_name["c"], ref="upcloud-late", token="other"))
        found = await looked(house)
        assert told(found) == [
            ("server", "b", "drifted"),
            ("taskserv", "nginx", "drifted"),
            ("taskserv", "nginx", "unknown"),
            ("orphan", "c", "drifted"),
        ]
        nginx = next(one for one in found.items if one.kind == "taskserv" and one.server == "a")
        assert nginx.changes
        assert [check.ok for check in nginx.failed_checks] == [False]
        assert not found.ok

    housed(tmp_path, play)


def test_what_the_newest_run_accepts_is_shown_and_not_counted_until_its_end(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        for end, state, ok in (("9999-12-31", "accepted", True), ("1999-12-31", "drifted", False)):
            await done(house, shop("a", drift=Drift((accepted(taskservs=("nginx",), end=end),))))
            with closing(World(house.settings.world_file)) as world:
                world.remove(world.servers()[0].ref, "nginx")
            found = await looked(house)
            assert (told(found), found.ok) == ([("taskserv", "nginx", state)], ok)
            assert (found.items[1].reason, found.items[1].end) == ("the sale", end)

    housed(tmp_path, play)


def test_while_a_run_is_changing_it_that_is_said_and_nothing_is_taken_for_an_orphan(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        stored = await created(house, shop("a", "b"))
        with closing(World(house.settings.world_file)) as world:
            world.plant(replace(world.servers()[0], ref="upcloud-new", run=stored.id))
        found = await looked(house)
        assert (found.changing, told(found)) == (stored.id, [])

    housed(tmp_path, play)


# -- what is compared: pure --------------------------------------------------------------------------------------------


def item(*seen: Observed, one: Resource = WEB, account: str = "acme", found: bool = True) -> list[DriftItem]:
    facts = ProviderFacts("upcloud", account, Guard.TOKEN, 30.0)
    observed = ProviderObserved(
        facts, recorded={x.ref: x for x in seen}, managed={"web": seen}
    )  # fmt: skip
    return server_items([one], {"upcloud": observed} if found else {}, {"upcloud": "it does not answer"})


@pytest.mark.parametrize(
    ("seen", "state", "words"),
    [
        (SEEN, "same", ""),
        (replace(SEEN, plan="large"), "drifted", ""),
        (replace(SEEN, labels=None), "same", ""),
        (replace(SEEN, zone=""), "same", ""),  # a field that the provider does not tell is what was asked for
        (replace(SEEN, state=ServerState.GONE), "drifted", "destroyed by someone else"),
        (replace(SEEN, state=ServerState.NOT_VISIBLE), "unknown", "may be lag"),
        (replace(SEEN, state=ServerState.STOPPING), "drifted", "it is stopping"),
        (
            replace(SEEN, state=ServerState.BROKEN, fault=Fault(FaultClass.PERMANENT, "no disk")),
            "drifted",
            "it is broken: no disk",
        ),
    ],
)
def test_a_server_as_its_provider_shows_it(seen: Observed, state: str, words: str) -> None:
    (one,) = item(seen)
    assert one.state == state
    assert words in one.trouble


def test_every_field_that_differs_is_told() -> None:
    (one,) = item(replace(SEEN, plan="large", zone="us", image="ubuntu", labels={"tier": "db", "cost-centre": "7"}))
    assert [(field.field, field.expected, field.found) for field in one.fields] == [
        ("plan", "small", "large"),
        ("zone", "eu", "us"),
        ("image", "debian", "ubuntu"),
        ("labels", "team=a, tier=web", "tier=db"),
    ]
    assert [(label.field, label.expected, label.found) for label in one.labels] == [
        ("team", "a", ""),
        ("tier", "web", "db"),
    ]


def test_labels_of_a_borrowed_server_are_its_owners() -> None:
    assert item(replace(SEEN, labels={}), one=replace(WEB, borrowed=True))[0].state == "same"


def test_what_cannot_be_seen_is_unknown_and_never_the_same() -> None:
    (silent,) = item(SEEN, found=False)
    assert (silent.state, silent.trouble) == ("unknown", "it does not answer")
    (other,) = item(SEEN, account="other")
    assert other.state == "unknown"
    assert "the account acme" in other.trouble


def test_a_leftover_counts_while_it_is_there() -> None:
    left = replace(WEB, leftover=("ref-0",))
    assert [(one.kind, one.ref) for one in item(SEEN, replace(SEEN, ref="ref-0"), one=left)[1:]] == [
        ("leftover", "ref-0")
    ]
    assert len(item(SEEN, replace(SEEN, ref="ref-0", state=ServerState.GONE), one=left)) == 1
    facts = ProviderFacts("upcloud", "acme", Guard.TOKEN, 30.0)
    seen = {"upcloud": ProviderObserved(facts, managed={"web": (SEEN, replace(SEEN, ref="ref-0"))})}
    assert [(one.ref, one.run) for one in orphans([WEB], seen, frozenset({RUN}))] == [("ref-0", RUN)]
    assert orphans([WEB], seen, frozenset({"bbbbbbbbbbbb"})) == ()  # another environment's


@given(
    differing=st.sets(st.sampled_from(["plan", "zone", "image", "labels"]), min_size=1),
    entries=st.lists(
        st.tuples(st.sets(st.sampled_from(["plan", "zone", "image", "labels"])), st.booleans(), st.booleans()),
        max_size=4,
    ),
)
def test_a_server_is_accepted_exactly_if_every_field_is_by_an_entry_that_holds(
    differing: set[str], entries: list[tuple[set[str], bool, bool]]
) -> None:
    values = {field: {} if field == "labels" else "other" for field in differing}
    (one,) = item(replace(SEEN, **values))  # type: ignore[arg-type]
    given_ = [
        AcceptedDifference("web" if own else "db", "why", "2026-06-30" if holds else "2026-06-28", tuple(fields))
        for fields, own, holds in entries
    ]
    held = {field for fields, own, holds in entries if own and holds for field in fields}
    judged = one.judged(given_, date(2026, 6, 29))
    assert (judged.state is DriftState.ACCEPTED) == (differing <= held)
    gone = item(replace(SEEN, state=ServerState.GONE))[0]
    assert gone.judged(given_, date(2026, 6, 29)) == gone


# -- what the file may accept ------------------------------------------------------------------------------------------


def codes(workflow: Workflow) -> list[tuple[str, str]]:
    return [(one.code, one.field) for one in told_by_the_file(workflow, load_catalogue()) if one.where == "drift"]


def test_an_acceptance_that_hides_nothing_is_refused() -> None:
    good = accepted("plan")
    bad = replace(good, server="x"), accepted(), accepted("zone", end="2026-02-30")
    assert codes(shop("a", drift=Drift((good,)))) == []
    assert codes(shop("a", drift=Drift((good, *bad)))) == [
        ("drift-server-unknown", "accept.1.server"),
        ("drift-accepts-nothing", "accept.2"),
        ("drift-no-such-day", "accept.3.end"),
    ]


def test_a_leftover_that_cannot_be_looked_at_is_unknown() -> None:
    """It was left out, so drift said that all was well."""
    left = replace(WEB, leftover=(Leftover("aws", "acme", "ref-0", RUN, "token"),))
    items = server_items([left], {}, {"upcloud": "it does not answer", "aws": "no credentials"})
    assert [(one.kind, one.state, one.trouble) for one in items] == [
        ("server", "unknown", "it does not answer"),
        ("leftover", "unknown", "no credentials"),
    ]


def test_the_end_of_an_acceptance_is_told_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    changed = replace(item(replace(SEEN, plan="large"))[0], reason="the sale", end="2026-06-30")
    for state, day, words in (
        (DriftState.ACCEPTED, 30, "accepted until 2026-06-30: the sale"),
        (DriftState.DRIFTED, 30, "accepted in part until 2026-06-30: the sale"),
        (DriftState.DRIFTED, 31, "was accepted until 2026-06-30: the sale"),
    ):
        at = datetime(2026, 6, 30, tzinfo=UTC).timestamp() + (day - 30) * 86_400
        one = replace(changed, state=state)
        show_drift(environment_drift("shop", simulated=False, run=RUN, changing="", at=at, items=(one,)))
        assert f"         {words}\n" in capsys.readouterr().out


def test_a_warning_of_a_provider_leaves_nothing_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def warned(_self: Simulated, _requests: object) -> list[Diagnostic]:
        return [Diagnostic("quota-unknown", "limits cannot be read", severity=Severity.WARNING)]

    async def play(house: House) -> None:
        await done(house, shop("a"))
        monkeypatch.setattr(Simulated, "quota_after", warned)
        assert (await looked(house)).ok

    housed(tmp_path, play)
