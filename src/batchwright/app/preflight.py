"""Queries all providers at once for everything that can be known without a change: the input of the planner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from batchwright.app.adapters import Adapters
from batchwright.app.place_preflight import place_of_targets
from batchwright.app.recorded_servers import RecordedServers
from batchwright.app.server_request_resolution import ServerQuestions, resolve_servers, room_problems
from batchwright.commands.preflight import secret_flaws
from batchwright.errors import BatchwrightError, PlaceUnusable, ProviderUnavailable
from batchwright.errors.ssh_key import IdentityUnusable
from batchwright.model.call_outcome import ABSENT, Observed, ServerState
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import Resource
from batchwright.model.plan import REPLACE_ORDER, Plan, ProviderFacts, Request
from batchwright.model.ssh_access import ServerLogin
from batchwright.model.update_behavior import FieldWay
from batchwright.model.workflow import Workflow
from batchwright.operations.observations import Observations, ObservedAlternative, ProviderObserved
from batchwright.operations.registry import type_of
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider, ways_of_each
from batchwright.taskservs.base import Runner, Target
from batchwright.user_home import with_own_home


class ServerReach(Struct, frozen=True):
    """How to log in to servers that exist: what runs recorded, and where the keys are."""

    recorded: RecordedServers
    key_file: Callable[[str], str]


SIMULATED = "simulated"  # its servers are given nothing
STARTING = "the server is still starting, so what is installed on it is unknown"


async def observe(
    workflow: Workflow,
    providers: Mapping[str, Provider],
    runners: Mapping[str, Runner],
    resources: Sequence[Resource] = (),
    now: float = 0.0,
    wanted: Mapping[str, Collection[str]] = {},
    reach: ServerReach | None = None,
) -> Observations:
    """What each provider says about its part of the workflow; one that does not answer becomes one problem.

    `resources` are what the environment has: its servers are looked at too. `wanted` are the task services that go on
    each server: a server is asked what is installed on it only if the environment does not know one of them. `reach`
    says how to log in to servers that exist; None: as their providers say.
    """
    asked = [(op, type_of(op).wants(op)) for op in workflow.operations]
    named = {name for op in workflow.operations for name in type_of(op).providers(op)}
    questions = {name: ServerQuestions.of(asked, name, resources) for name in providers}
    unknown = partial(_unknown_installs, _by_server(resources), wanted)
    if not any(wants.installed for _, wants in asked):
        runners = {}  # nothing needs to know what is installed
    answers = await asyncio.gather(
        *(
            observe_provider(
                name,
                providers[name],
                runners.get(name),
                asked_there,
                resources,
                now,
                unknown,
                reach,
            )
            for name, asked_there in questions.items()
        )
    )
    return Observations(
        {seen.facts.name: seen for seen, _ in answers if seen is not None},
        tuple(
            problem
            for name, (_, problems) in zip(questions, answers, strict=True)
            if name in named  # of another one it matters only if something is retired there
            for problem in problems
        ),
        resources=tuple(resources),
        today=datetime.fromtimestamp(now, UTC).date(),
    )


async def quota_beside(plan: Plan, providers: Mapping[str, Provider], told: Sequence[Diagnostic]) -> list[Diagnostic]:
    """What limits of the accounts say, where servers that are replaced still stand beside the new ones.

    `told` are problems that are known already.
    """
    problems = []
    last = {
        step.provider for step in plan.steps if step.traits.sweeps and REPLACE_ORDER in {c.field for c in step.changes}
    }
    for name in sorted(last):
        made = [step.request for step in plan.steps if step.traits.sweeps and step.provider == name]
        requests = [request for request in made if isinstance(request, ServerRequest)]
        try:
            async with asyncio.timeout(providers[name].capabilities.call_timeout):
                found = await providers[name].quota_after(requests)
        except (TimeoutError, BatchwrightError) as error:
            message = f"{name} did not say whether its quota allows the new servers beside the old ones: {error}"
            found = [Diagnostic("provider-unreachable", message, hint="Try again in a moment.")]
        problems += [replace(one, where=name) for one in found]
    known = {(one.code, one.message) for one in told}
    return [one for one in problems if (one.code, one.message) not in known]


async def observe_identity(observations: Observations, around: Adapters) -> Observations:
    """The observations; servers that are to be created let in the operator's identity, if one is configured.

    Servers of a provider at a place let in that of its worker.
    """
    created = {name for name, one in observations.providers.items() if set(one.names) - one.managed.keys()}
    if not created - {SIMULATED}:
        return observations
    providers = dict(observations.providers)
    for name in sorted(providers.keys() - {SIMULATED}):
        place = around.where(name)
        try:
            key = (await around.places.report(place)).identity if place else await around.logins.identity()
        except (IdentityUnusable, ProviderUnavailable) as error:
            problem = Diagnostic.of_error(error, place or "config.toml")
            return replace(observations, problems=(*observations.problems, problem))
        if key:
            providers[name] = _let_in(providers[name], key)
    return replace(observations, providers=providers)


def _let_in(observed: ProviderObserved, key: str) -> ProviderObserved:
    def with_key(request: Request) -> Request:
        given = isinstance(request, ServerRequest) and request.access is None
        return replace(request, login=ServerLogin(key)) if given else request  # type: ignore[type-var]

    alternatives = {at: replace(one, request=with_key(one.request)) for at, one in observed.alternatives.items()}
    requests = {name: with_key(request) for name, request in observed.requests.items()}
    return replace(observed, requests=requests, alternatives=alternatives)


async def observe_commands(
    workflow: Workflow, observations: Observations, around: Adapters, folder: str = ""
) -> Observations:
    """The observations, plus what the workflow's commands need; whatever is missing becomes a problem.

    `folder` is that of the workflow file.
    """
    commands = [command for op in workflow.operations if (command := type_of(op).wants(op).program) is not None]
    if not commands:
        return observations
    around.open_programs()
    found: dict[str, Request] = {}
    problems = list(observations.problems)
    for command in commands:
        try:
            place = place_of_targets(workflow, command, around)
            answer = await around.launcher_of(command, place).resolve(command, folder)
        except (ProviderUnavailable, PlaceUnusable) as error:
            answer = [Diagnostic.of_error(error)]
        if isinstance(answer, list):
            problems += [replace(one, where=command.id) for one in answer]
        else:
            found[command.id] = answer
    return replace(observations, requests={**observations.requests, **found}, problems=tuple(problems))


def observe_secrets(
    workflow: Workflow, observations: Observations, around: Adapters, environ: Mapping[str, str]
) -> Observations:
    """The observations, plus a problem for each missing secret of a task service, before its servers are created.

    Secrets of commands are checked with the rest that commands need. Those of a place are not here.
    """
    problems = [
        replace(missing, where=f"{op.id}/{name}")
        for op in workflow.operations
        if op.provider != SIMULATED and not place_of_targets(workflow, op, around)
        for name, values in type_of(op).wants(op).secrets.items()
        for missing in secret_flaws(values, environ, f' of "{name}"')
    ]
    return replace(observations, problems=(*observations.problems, *problems))


async def observe_provider(
    name: str,
    provider: Provider,
    runner: Runner | None,
    asked: ServerQuestions,
    resources: Sequence[Resource],
    now: float,
    unknown: Callable[[Observed], bool] = lambda _server: True,
    reach: ServerReach | None = None,
) -> tuple[ProviderObserved | None, list[Diagnostic]]:
    """What one provider says; None and the reason if it does not answer."""
    try:
        async with asyncio.timeout(provider.capabilities.call_timeout * 2):
            return await _observe(name, provider, runner, asked, resources, now, unknown, reach)
    except TimeoutError:
        message = f"{name} did not answer the pre-flight in time"
        return None, [Diagnostic("provider-unreachable", message, where=name, hint="Try again in a moment.")]
    except BatchwrightError as error:
        return None, [Diagnostic.of_error(error, name)]
    except Exception as error:
        message = f"{name} could not be queried: {type(error).__name__}: {error}"
        return None, [Diagnostic("provider-unreachable", message, where=name, hint="Try again in a moment.")]


async def _observe(
    name: str,
    provider: Provider,
    runner: Runner | None,
    asked: ServerQuestions,
    resources: Sequence[Resource],
    now: float,
    unknown: Callable[[Observed], bool],
    reach: ServerReach | None,
) -> tuple[ProviderObserved, list[Diagnostic]]:
    health = await provider.health()
    known = provider.capabilities
    facts = known.facts(name, await provider.account())
    if not health.ok:
        hint = "Check the credentials, the account and the network."
        problem = Diagnostic("provider-unhealthy", health.message, where=name, hint=hint)
        return ProviderObserved(facts), [problem]
    resolved = await resolve_servers(provider, asked)
    requests, problems = resolved.requests, resolved.problems
    names = dict.fromkeys([*requests, *(server for server, _ in resolved.alternatives)])
    managed: dict[str, tuple[Observed, ...]] = {}
    place = name, facts.account  # a reference may be another server's in another account
    left = [one for each in resources for one in each.leftover_servers if (one.provider, one.account) == place]
    gone_soon = {one.ref for one in left}
    for observed in await provider.find():
        if observed.ref not in gone_soon:
            managed[observed.name] = (*managed.get(observed.name, ()), observed)
    own = [one for one in resources if one.provider == name]
    recorded = await _recorded(provider, facts, [*own, *left], now)
    for one in recorded.values():  # a listing that lags does not show what is there
        if one.ref in gone_soon:
            continue
        if one.state not in ABSENT and all(one.ref != other.ref for other in managed.get(one.name, ())):
            managed[one.name] = (*managed.get(one.name, ()), one)
    missing = [one for one in requests.values() if one.name not in managed and one.name not in asked.elsewhere]
    problems += [replace(one, where=name) for one in await room_problems(provider, asked, resolved, missing)]
    kept = [found for one in names if one in managed and unknown(found := managed[one][0])]
    if missing and not known.adopts:
        problems.append(_duplicates(name))
    there = [managed[one][0] for one in names if one in managed]
    known_to_runs = await reach.recorded.of(name, there) if reach is not None else {}
    logins = {ref: one.login for ref, one in known_to_runs.items()}
    installed, starting = await _installed(name, provider, runner, kept, logins, reach)
    problems += starting
    if runner is not None and not known.destroys:
        installed |= await _before(name, runner, missing)
    abilities = known.create_seconds, known.init, known.privileged, known.own_network, known.destroys
    of_alternatives = list(resolved.alternatives.values())
    own_ways, *other_ways = await _ways(
        provider, [list(requests.values()), *([one] for one in of_alternatives)], managed
    )
    alternatives = {
        at: ObservedAlternative(request, each)
        for (at, request), each in zip(resolved.alternatives.items(), other_ways, strict=True)
    }
    return ProviderObserved(
        facts, *abilities, requests, managed, installed, recorded, own_ways, logins, alternatives
    ), (_merged(problems))


async def _ways(
    provider: Provider, groups: Sequence[Sequence[ServerRequest]], managed: Mapping[str, Sequence[Observed]]
) -> list[dict[str, Mapping[str, FieldWay]]]:
    """For each group: how the fields of the servers of these names become what is asked for, by reference."""
    pairs = [[(one, request) for request in group for one in managed.get(request.name, ())] for group in groups]
    told = iter(await ways_of_each(provider, [pair for group in pairs for pair in group]))
    return [{observed.ref: next(told) for observed, _ in group} for group in pairs]


def _by_server(resources: Sequence[Resource]) -> dict[tuple[str, str], set[str]]:
    """What the environment has on each server, by its name and reference."""
    found: dict[tuple[str, str], set[str]] = {}
    for one in resources:
        if one.server:
            found.setdefault((one.server, one.ref), set()).add(one.name)
    return found


def _unknown_installs(
    known: Mapping[tuple[str, str], set[str]], wanted: Mapping[str, Collection[str]], found: Observed
) -> bool:
    """Whether something is to go on this server of which the environment does not know whether it is there."""
    return not known.get((found.name, found.ref), set()).issuperset(wanted.get(found.name, ()))


async def _recorded(
    provider: Provider, facts: ProviderFacts, resources: list[Resource], now: float
) -> dict[str, Observed]:
    """The servers that the environment has in this account, as they are now, by reference.

    One that has not been visible for the settle time, and was created before, is gone.
    """
    here = {one.ref: one for one in resources if not one.server and one.ref and one.account == facts.account}
    if not here:
        return {}
    return {
        ref: replace(seen, state=ServerState.GONE)
        if seen.state is ServerState.NOT_VISIBLE and now - here[ref].at >= facts.settle_seconds
        else seen
        for ref, seen in (await provider.describe(list(here))).items()
    }


async def _installed(
    name: str,
    provider: Provider,
    runner: Runner | None,
    kept: list[Observed],
    logins: Mapping[str, ServerLogin],
    reach: ServerReach | None,
) -> tuple[dict[str, tuple[str, ...]], list[Diagnostic]]:
    """What is on the servers that are there already: not this run's to take away. One that starts is waited for."""
    if runner is None or not kept:
        return {}, []
    now = await _started(provider, kept)
    ready = [one for one in now if one.state is ServerState.READY]
    ways = await provider.access([one.ref for one in ready])
    if reach is not None:
        ways = {ref: logins.get(ref, ServerLogin()).applied_to(way, reach.key_file) for ref, way in ways.items()}
    looks = [runner.installed(Target(name, one.ref, one.name, one.address, ways.get(one.ref))) for one in ready]
    starting = [one for one in now if one.state is ServerState.STARTING]
    return dict(zip([one.name for one in ready], await asyncio.gather(*looks), strict=True)), [
        Diagnostic("server-starting", STARTING, where=one.name, hint="Plan again when it is ready.") for one in starting
    ]


async def _before(name: str, runner: Runner, taken: list[ServerRequest]) -> dict[str, tuple[str, ...]]:
    """What is on servers that existed before Batchwright takes them; `resolve` has said how they are reached."""
    ways = [(one.name, with_own_home(one.access)) for one in taken if one.access is not None]
    targets = [Target(name, "", server, way.host, way) for server, way in ways]
    looks = await asyncio.gather(*(runner.installed(target) for target in targets))
    return {target.name: found for target, found in zip(targets, looks, strict=True)}


async def _started(provider: Provider, kept: list[Observed]) -> list[Observed]:
    """A fresh look at each, once none is starting any more, or when that takes too long."""
    poll = provider.capabilities.poll_seconds
    looks = max(1, int(provider.capabilities.call_timeout / poll)) if poll else 1
    for _ in range(looks):
        starting = [one.ref for one in kept if one.state is ServerState.STARTING]
        if not starting:
            break
        await asyncio.sleep(poll)
        seen = await provider.describe(starting)
        kept = [seen.get(one.ref, one) for one in kept]
    return kept


def _duplicates(name: str) -> Diagnostic:
    message = f"after a crash, duplicates are possible here: {name} cannot find its servers again by label or name"
    hint = "When a run was interrupted, compare the cloud's own list with `batchwright servers`."
    return Diagnostic("duplicates-possible", message, where=name, hint=hint, severity=Severity.WARNING)


def _merged(problems: list[Diagnostic]) -> list[Diagnostic]:
    """The same said of many servers is said once."""
    groups: dict[tuple[str, str, str], list[Diagnostic]] = {}
    for problem in problems:
        groups.setdefault((problem.code, problem.message, problem.hint), []).append(problem)
    return [
        replace(alike[0], notes=(f"This applies to {len(alike)} servers; the last one is {alike[-1].where}.",))
        if len({one.where for one in alike}) > 1
        else alike[0]
        for alike in groups.values()
    ]
