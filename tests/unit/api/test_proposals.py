"""Changes that one token proposes and another approves: carried out only as they were approved, within limits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from batchwright.app.access_tokens import Tokens
from batchwright.app.proposal_store import OPEN_SECONDS, Proposals
from batchwright.app.settings import Settings
from batchwright.model.guardrail_limits import NO_LIMITS, GuardrailLimits
from batchwright.model.role import Role
from tests.support.service_in_loop import FAST, RUNS, Answer, Serving, serving, workflow

PROPOSALS = "/v1/proposals"
SIMULATED = [("simulate", "true"), *(("sim", f"{key}={value}") for key, value in FAST.items())]
ROLES = {
    "agent": Role.PROPOSER,
    "other": Role.PROPOSER,
    "look": Role.VIEWER,
    "ada": Role.OPERATOR,
    "eve": Role.OPERATOR,
}


class House:
    """A service with one token of each role."""

    def __init__(self, service: Serving, secrets: dict[str, str]) -> None:
        self.service, self._secrets = service, secrets

    async def ask(self, who: str, method: str, path: str, *, type: str = "", **how: Any) -> Answer:  # noqa: A002 - of its body
        headers = {"Authorization": f"Bearer {self._secrets[who]}", **({"Content-Type": type} if type else {})}
        return await self.service.ask(method, path, headers=headers, **how)

    async def propose(self, who: str = "agent", name: str = "flow", count: int = 2) -> Answer:
        return await self.ask(who, "POST", PROPOSALS, params=SIMULATED, json=workflow(name, count))

    async def post(self, who: str, path: str, **params: str) -> Answer:
        return await self.ask(who, "POST", path, params=params)

    async def until(self, run: str, state: str) -> None:
        for _ in range(6_000):
            if (await self.ask("ada", "GET", f"{RUNS}/{run}")).json["status"] == state:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{run} does not become {state}")

    async def carried_out(self, **more: Any) -> str:
        digest = (await self.propose(**more)).json["hash"]
        assert (await self.post("ada", f"{PROPOSALS}/{digest}/approve")).status == 200
        run: str = (await self.post("agent", f"{PROPOSALS}/{digest}/apply")).json["run"]
        await self.until(run, "Completed")
        return run


@contextlib.asynccontextmanager
async def house(
    folder: Path, limits: GuardrailLimits = NO_LIMITS, ada: GuardrailLimits = NO_LIMITS
) -> AsyncIterator[House]:
    tokens, own = Tokens(Settings(folder)), {"agent": limits, "ada": ada}
    made = {
        name: tokens.create(name, role, 0.0, None, limits=own.get(name, NO_LIMITS))[1] for name, role in ROLES.items()
    }
    async with serving(folder) as service:
        yield House(service, made)


def test_a_proposal_runs_once_somebody_else_has_approved_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as here:
            proposal = (await here.propose()).json
            digest, own = proposal["hash"], f"{PROPOSALS}/{proposal['hash']}"
            assert (proposal["state"], proposal["by"], proposal["destroys"]) == ("open", "agent", 0)
            assert proposal["lines"][0].startswith("run flow 1 on flow: + 2")
            assert (await here.propose()).json == proposal  # the same again is the same
            early = await here.post("agent", f"{own}/apply")
            assert (early.status, early.json["code"]) == (403, "proposal-unapproved")
            approved = (await here.post("ada", f"{own}/approve", comment="fine")).json
            assert (approved["state"], approved["decided_by"], approved["comment"]) == ("approved", "ada", "fine")
            again = await here.post("ada", f"{own}/refuse")
            assert (again.status, again.json["code"]) == (409, "proposal-closed")
            theirs = await here.post("other", f"{own}/apply")
            assert (theirs.status, theirs.json["code"]) == (403, "proposal-unapproved")
            run = (await here.post("agent", f"{own}/apply")).json["run"]
            await here.until(run, "Completed")
            created = (await here.ask("look", "GET", f"{RUNS}/{run}/events", params={"limit": "1"})).json["items"][0]
            assert (created["by"], created["inputs"]["approved_by"]) == ("agent", "ada")
            twice = await here.post("agent", f"{own}/apply")
            assert (twice.status, twice.json["code"]) == (409, "proposal-closed")
            [line] = (await here.ask("look", "GET", PROPOSALS)).json["items"]
            assert (line["hash"], line["state"], line["applied"]) == (digest, "applied", run)
            assert "server_configs" not in str(line)

    asyncio.run(main())


def test_who_may_do_what_with_proposals(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as here:
            digest = (await here.propose()).json["hash"]
            got = {
                who: [
                    (await here.propose(who, f"by-{who}")).status,
                    (await here.post(who, f"{PROPOSALS}/{digest}/approve")).status,
                    (await here.ask(who, "POST", f"{RUNS}/submit", params=SIMULATED, json=workflow(who))).status,
                    (await here.ask(who, "POST", f"{RUNS}/plan", params=SIMULATED, json=workflow(who))).status,
                ]
                for who in ROLES
            }
            assert got == {
                "agent": [201, 403, 403, 200],
                "other": [201, 403, 403, 200],
                "look": [403, 403, 403, 403],
                "ada": [201, 200, 202, 200],
                "eve": [201, 409, 202, 200],
            }
            own = (await here.propose("ada", "own")).json["hash"]
            refused = await here.post("ada", f"{PROPOSALS}/{own}/approve")
            assert (refused.status, refused.json["code"]) == (403, "approver-refused")

    asyncio.run(main())


def test_what_has_changed_since_is_not_carried_out(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as here:
            digest = (await here.propose(count=3)).json["hash"]
            await here.post("ada", f"{PROPOSALS}/{digest}/approve")
            await here.carried_out(count=2)  # so that the first proposal would create one server, no longer three
            stale = await here.post("agent", f"{PROPOSALS}/{digest}/apply")
            assert (stale.status, stale.json["code"]) == (409, "plan-changed")
            refused = (await here.propose("agent", "elsewhere")).json["hash"]
            await here.post("ada", f"{PROPOSALS}/{refused}/refuse", comment="not today")
            told = await here.post("agent", f"{PROPOSALS}/{refused}/apply")
            assert (told.status, told.json["detail"]) == (403, f"ada has refused {refused}")
            assert (await here.post("agent", f"{PROPOSALS}/0000/apply")).status == 404

    asyncio.run(main())


def test_a_rollback_is_bound_to_the_run_as_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, GuardrailLimits(destroys=2)) as here:
            run = await here.carried_out(count=2)
            proposal = (await here.post("agent", f"{RUNS}/{run}/proposals", action="rollback")).json
            assert (proposal["action"], proposal["destroys"], proposal["run"]) == ("rollback", 2, run)
            await here.post("ada", f"{PROPOSALS}/{proposal['hash']}/approve")
            proposals = Proposals(Settings(tmp_path))
            older = replace(proposals.get(proposal["hash"], proposal["at"]), seq=proposal["seq"] - 1)
            proposals._replace(older.hash, lambda _: older, older.at)
            stale = await here.post("agent", f"{PROPOSALS}/{older.hash}/apply")
            assert (stale.status, stale.json["code"]) == (412, "run-changed")
            proposals._replace(older.hash, lambda one: replace(one, seq=one.seq + 1), older.at)
            assert (await here.post("agent", f"{PROPOSALS}/{older.hash}/apply")).status == 202
            await here.until(run, "RolledBack")
            events = (await here.ask("look", "GET", f"{RUNS}/{run}/events", params={"limit": "500"})).json["items"]
            [begun] = [one for one in events if one["type"] == "rollback_started"]
            assert begun["by"] == "agent, approved by ada"
            ended = await here.post("agent", f"{RUNS}/{run}/proposals", action="resume")
            assert (ended.status, ended.json["code"]) == (409, "not-allowed")
            wrong = await here.post("agent", f"{RUNS}/{run}/proposals", action="apply")
            assert (wrong.status, wrong.json["code"]) == (400, "usage")

    asyncio.run(main())


def test_a_proposer_keeps_the_limits_of_its_token(tmp_path: Path) -> None:
    async def main() -> None:
        limits = GuardrailLimits(servers=2, cost_per_hour={"EUR": 1.0})
        async with house(tmp_path, limits) as here:
            many = await here.propose(count=3)
            assert (many.status, [one["code"] for one in many.json["diagnostics"]]) == (422, ["limit-exceeded"])
            assert "this token has limits.servers = 2" in many.json["diagnostics"][0]["message"]
            run = await here.carried_out(count=2)
            undo = await here.post("agent", f"{RUNS}/{run}/proposals", action="rollback")
            assert (undo.status, undo.json["diagnostics"][0]["field"]) == (422, "destroys")

    asyncio.run(main())


def test_limits_of_an_operators_token_hold_at_every_door(tmp_path: Path) -> None:
    """`ada` may have two servers and destroy none, `eve` whatever an operator may."""

    async def main() -> None:
        limits = GuardrailLimits(servers=2, destroys=0)
        async with house(tmp_path, GuardrailLimits(destroys=9), limits) as here:
            submitted = await here.ask("eve", "POST", f"{RUNS}/submit", params=SIMULATED, json=workflow("flow", 2))
            run = submitted.json["run"]
            await here.until(run, "Completed")
            server = (await here.ask("eve", "GET", "/v1/servers")).json["items"][0]["server"]["ref"]
            undo = (await here.post("agent", f"{RUNS}/{run}/proposals", action="rollback")).json["hash"]
            more = (await here.propose(count=3)).json["hash"]
            larger = {"params": SIMULATED, "json": workflow("flow", 3)}
            smaller = {"params": [*SIMULATED, ("retire", "true")], "json": workflow("flow", 1)}
            doors: dict[str, tuple[str, dict[str, Any]]] = {
                "submit": (f"{RUNS}/submit", larger),
                "retire": (f"{RUNS}/submit", smaller),
                "plan": (f"{RUNS}/plan", larger),
                "propose": (PROPOSALS, larger),
                "propose rollback": (f"{RUNS}/{run}/proposals", {"params": {"action": "rollback"}}),
                "approve rollback": (f"{PROPOSALS}/{undo}/approve", {}),
                "approve run": (f"{PROPOSALS}/{more}/approve", {}),
                "rollback": (f"{RUNS}/{run}/rollback", {}),
                "destroy server": ("/v1/servers/destroy", {"params": {"ref": server, "simulate": "true"}}),
                "destroy environment": ("/v1/environments/destroy", {"params": {"environment": "simulated:flow"}}),
            }
            got = {}
            for door, (path, how) in doors.items():
                answer = await here.ask("ada", "POST", path, **how)
                got[door] = (answer.status, {one["code"] for one in answer.json.get("diagnostics", ())})
            assert got == dict.fromkeys(doors, (422, {"limit-exceeded"}))
            assert (await here.ask("look", "GET", f"{RUNS}/{run}")).json["status"] == "Completed"
            assert {one["state"] for one in (await here.ask("look", "GET", PROPOSALS)).json["items"]} == {"open"}
            assert (await here.post("ada", f"{PROPOSALS}/{more}/refuse")).status == 200  # a no needs no limits
            assert (await here.post("eve", f"{PROPOSALS}/{undo}/approve")).status == 200
            assert (await here.post("eve", f"{RUNS}/{run}/rollback")).status == 202

    asyncio.run(main())


def test_the_price_limit_of_a_token_holds_for_who_submits_and_who_approves(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, ada=GuardrailLimits(cost_per_hour={"EUR": 1e-6})) as here:
            digest = (await here.propose()).json["hash"]
            doors: list[tuple[str, dict[str, Any]]] = [
                (f"{RUNS}/submit", {"params": SIMULATED, "json": workflow("flow", 2)}),
                (f"{PROPOSALS}/{digest}/approve", {}),
            ]
            for path, how in doors:
                answer = await here.ask("ada", "POST", path, **how)
                assert (answer.status, answer.json["diagnostics"][0]["field"]) == (422, "cost_per_hour")

    asyncio.run(main())


def test_proposals_expire(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as here:
            proposal = (await here.propose()).json
            later = proposal["at"] + OPEN_SECONDS
            assert Proposals(Settings(tmp_path)).all(later - 1.0)
            assert not Proposals(Settings(tmp_path)).all(later)

    asyncio.run(main())
