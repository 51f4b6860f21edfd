"""The pre-flight: every provider is asked once, at the same time, and one that fails does not silence the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.app.adapters import Adapters
from batchwright.app.preflight import observe, observe_secrets
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.engine.limits import Limits
from batchwright.errors import ProviderUnavailable
from batchwright.model.actions import Undo
from batchwright.model.call_outcome import Created, Observed
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.environment import Resource
from batchwright.model.ids import Token
from batchwright.model.secret_reference import SecretReference
from batchwright.model.ssh_access import SshAccess
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservBatch, TaskservUse
from batchwright.plan import Observations
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulated, SimulatedRunner, Simulation, World
from batchwright.providers.simulated.taskserv_runner import OnServer
from batchwright.taskservs.base import Target
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.testing.plans import plan_of, servers, taskservs, workflow
from batchwright.testing.virtual_clock import VirtualClock, run_virtual

FLOW = workflow(servers("up", "web-01", "web-02"), servers("am", "db-01", provider="elsewhere"))


class Failing(Simulated):
    """Its listing does what it is told."""

    fails: Callable[[], Exception] | None = None

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        if self.fails is None:
            await asyncio.sleep(1e6)
            return []
        raise self.fails()


def asked(**providers: Provider) -> Observations:
    return run_virtual(observe(FLOW, providers, {}))


def simulated(name: str, simulation: Simulation | None = None, world: World | None = None) -> Simulated:
    return Simulated(name, world or World(None), VirtualClock(), simulation)


def failing(fails: Callable[[], Exception] | None) -> Failing:
    provider = Failing("elsewhere", World(None), VirtualClock())
    provider.fails = fails
    return provider


def test_every_server_resolves_and_what_the_servers_can_do_is_noted() -> None:
    seen = asked(upcloud=simulated("upcloud"), elsewhere=simulated("elsewhere"))
    assert seen.problems == ()
    assert sorted(seen.providers["upcloud"].requests) == ["web-01", "web-02"]
    assert seen.providers["elsewhere"].requests["db-01"].plan == "1xCPU-2GB"
    assert seen.providers["upcloud"].facts.account == "simulated-upcloud"
    assert seen.providers["upcloud"].init


def test_servers_that_are_there_are_found_by_name() -> None:
    provider = simulated("upcloud")

    async def twice() -> Observations:
        first = await observe(FLOW, {"upcloud": provider}, {})
        await provider.create(first.providers["upcloud"].requests["web-01"], Token("run", "token"))
        await asyncio.sleep(3600)
        return await observe(FLOW, {"upcloud": provider}, {})

    managed = run_virtual(twice()).providers["upcloud"].managed
    assert [(one.name, one.run, one.plan) for one in managed["web-01"]] == [("web-01", "run", "1xCPU-2GB")]
    assert "web-02" not in managed


@pytest.mark.parametrize(
    ("fails", "code", "words"),
    [
        (lambda: ProviderUnavailable("no credentials", hint="log in"), "provider-unavailable", "no credentials"),
        (lambda: ValueError("not JSON"), "provider-unreachable", "ValueError: not JSON"),
        (None, "provider-unreachable", "did not answer the pre-flight in time"),
    ],
)
def test_a_provider_that_fails_is_one_problem_and_the_others_are_heard(
    fails: Callable[[], Exception] | None, code: str, words: str
) -> None:
    seen = asked(elsewhere=failing(fails), upcloud=simulated("upcloud"))
    (problem,) = seen.problems
    assert (problem.code, problem.where) == (code, "elsewhere")
    assert words in problem.message
    assert problem.hint
    assert list(seen.providers) == ["upcloud"]


def test_credentials_that_are_refused_are_one_problem() -> None:
    seen = asked(upcloud=simulated("upcloud", Simulation(auth="wrong")))
    (problem,) = seen.problems
    assert problem.code == "provider-unhealthy"
    assert "credentials" in problem.message


def observed_while(simulation: Simulation, age: float, *known: Resource) -> Observations:
    """A second look, so long after the servers of the first were begun. `known` is what the environment has."""
    world, flow = World(None), workflow(servers("up", "web-01"), taskservs("cache", "redis", after=["up"]))
    provider = simulated("upcloud", simulation, world)
    runner = SimulatedRunner(world, VirtualClock(), Simulation.instant())

    async def twice() -> Observations:
        first = await observe(flow, {"upcloud": provider}, {"upcloud": runner})
        made = await provider.create(first.providers["upcloud"].requests["web-01"], Token("run", "token"))
        assert isinstance(made, Created)
        with world.turn:
            world.install(made.ref, "redis", "7.0")
        await asyncio.sleep(age)
        wanted = {"web-01": {"redis"}}
        return await observe(flow, {"upcloud": provider}, {"upcloud": runner}, known, 0.0, wanted)

    return run_virtual(twice())


def test_a_server_that_still_starts_is_waited_for_before_it_is_told_what_is_on_it() -> None:
    seen = observed_while(Simulation(spread=0, boot_seconds=30), age=1)
    assert seen.problems == ()
    assert seen.providers["upcloud"].installed == {"web-01": ("redis",)}


def test_one_that_does_not_come_up_is_a_problem_and_no_reason_to_take_anything_away() -> None:
    seen = observed_while(Simulation(spread=0, boot_seconds=1e5), age=1)
    (problem,) = seen.problems
    assert (problem.code, problem.where) == ("server-starting", "web-01")


def test_a_server_is_not_asked_what_the_environment_knows() -> None:
    """Nothing to do is decided without a connection; an install that it does not know is looked for."""
    known = Resource("taskserv", "redis", "web-01", ref="upcloud-000001")
    assert observed_while(Simulation.instant(), 1, known).providers["upcloud"].installed == {}
    other = replace(known, ref="upcloud-000002")
    assert observed_while(Simulation.instant(), 1, other).providers["upcloud"].installed == {"web-01": ("redis",)}


class Existing(Simulated):
    """Its servers were there before anybody takes them."""

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        return [
            replace(one, access=SshAccess("10.0.0.5")) if isinstance(one, ServerRequest) else one
            for one in await super().resolve(configs)
        ]


class Occupied(SimulatedRunner):
    """Redis is on every server that can be reached."""

    async def installed(self, target: OnServer) -> tuple[str, ...]:
        assert isinstance(target, Target)
        assert target.access is not None
        return ("redis",)


def test_what_was_on_a_server_before_it_is_taken_is_never_taken_away() -> None:
    world = World(None)
    taken = workflow(servers("up", "web-01", provider="static"), taskservs("svc", "redis", "nginx", after=["up"]))
    provider, runner = Existing("static", world, VirtualClock()), Occupied(world, VirtualClock())
    seen = run_virtual(observe(taken, {"static": provider}, {"static": runner}))
    assert seen.providers["static"].installed == {"web-01": ("redis",)}
    plan = plan_of(taken, load_catalogue(), seen)
    undo = {step.id: step.undo for step in plan.steps}
    assert undo["svc/web-01/redis"] is Undo.NOTHING
    assert undo["svc/web-01/nginx"] is Undo.REMOVE


def test_quota_counts_only_what_has_to_be_made() -> None:
    seen = asked(upcloud=simulated("upcloud", Simulation(quota_servers=1)))
    (problem,) = seen.problems
    assert "1 server:" in problem.message
    assert asked(upcloud=simulated("upcloud", Simulation(quota_servers=2))).problems == ()


def test_a_missing_secret_of_a_task_service_is_found_before_its_servers_are_made(tmp_path: Path) -> None:
    """B9: with its variable, its source and its place."""
    (tmp_path / "there").write_text("s3cret\n")
    use = TaskservUse(
        "db",
        {
            "a": SecretReference(file=str(tmp_path)),
            "b": SecretReference(env="NONE"),
            "c": SecretReference(env="SET"),
            "d": 1,
        },
    )
    last = TaskservUse(
        "web", {"key": SecretReference(command=("no-such-tool",)), "ok": SecretReference(file=str(tmp_path / "there"))}
    )
    batches = [TaskservBatch(place, place, (use, last)) for place in ("local", "simulated")]
    around = Adapters(Settings(tmp_path), SystemClock(), Limits())
    seen = observe_secrets(workflow(*batches), Observations(), around, {"SET": "x", "PATH": "/none"})
    assert [(one.code, one.where) for one in seen.problems] == [
        *[("secret-missing", "local/db")] * 2,
        ("secret-missing", "local/web"),
    ]
    assert [one.message for one in seen.problems] == [
        f'the secret for "a" of "db" is missing: the file {tmp_path} is a folder; it must be a regular file',
        'the secret for "b" of "db" is missing: the variable NONE is not set',
        'the secret for "key" of "web" is missing: there is no program "no-such-tool"',
    ]
