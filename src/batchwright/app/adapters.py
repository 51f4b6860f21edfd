"""Builds providers, runners and limits for a use case. Only this file and multi_store.py name adapters."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType

from batchwright.app.patient_provider import PatientProvider
from batchwright.app.place_ports import PlacePorts
from batchwright.app.settings import AT, Settings
from batchwright.app.ssh_identities import OperatorSshKeys
from batchwright.commands.base import Launcher
from batchwright.commands.local import LocalCommands
from batchwright.commands.ssh import SshCommands
from batchwright.engine.limits import Lane, Limits
from batchwright.engine.monotonic_clocks import RunClock
from batchwright.engine.read_retry import SOON_SECONDS, ReadRetry, Tell
from batchwright.errors import NotAllowed, ProviderUnavailable, TaskservPackageMissing
from batchwright.journal.store_folder import make_private
from batchwright.model.clock import Clock
from batchwright.model.plan import Plan, Step
from batchwright.model.remote_place import port_key
from batchwright.model.scalar import SimulationSettings
from batchwright.model.taskserv import Taskserv
from batchwright.model.workflow import Operation, Workflow
from batchwright.operations.base import PortKind
from batchwright.operations.registry import type_of
from batchwright.probes.base import Prober
from batchwright.probes.network import NetworkProber
from batchwright.providers import registry
from batchwright.providers.base import Provider
from batchwright.providers.simulated import (
    Simulated,
    SimulatedLauncher,
    SimulatedProber,
    SimulatedRunner,
    Simulation,
    World,
)
from batchwright.secret_resolver import reveal
from batchwright.taskservs.base import Runner
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.taskservs.runner import pyinfra_runner
from batchwright.taskservs.runner.fork_server import ForkServer

SERVERS = "servers"  # as a launcher of a place is told that a command runs on some

log = logging.getLogger("batchwright.providers")


def _tell(provider: str, why: str, patience: float) -> None:
    log.warning("%s cannot be queried: %s. Trying again, for up to %.0f s", provider, why, patience)


class SharedWorld:
    """The durable world of the state folder, opened when it is first needed; one serves all runs of a process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._world: World | None = None

    def get(self) -> World:
        """The world. Raises ProviderUnavailable, StoreError."""
        if self._world is None:
            make_private(self._settings.state_dir)
            self._world = World(self._settings.world_file)
        return self._world

    def close(self) -> None:
        """Close the file of the world."""
        if self._world is not None:
            self._world.close()
            self._world = None


class SharedRunner:
    """The runner of task services on real servers, each once at a time; one for all runs with the same catalogues."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._runners: dict[tuple[Path, ...], Runner] = {}

    @cached_property
    def _forks(self) -> ForkServer:
        return ForkServer()

    def load(self) -> None:
        """Load what installs need, beside what is done until they begin."""
        self._forks.load()

    def get(self, catalogues: tuple[Path, ...] | None = None) -> Runner:
        """The runner, with these folders of catalogues, or those of the settings; one serves all runs that have them.

        Raises TaskservPackageMissing, CatalogueInvalid.
        """
        folders = self._settings.catalogues if catalogues is None else catalogues
        if folders not in self._runners:
            found = load_catalogue(folders)
            made = pyinfra_runner(found, found.folders, lambda one: reveal(one, os.environ), self._clock, self._forks)
            self._runners[folders] = made
        return self._runners[folders]


class Adapters:
    """Opened providers by name, runners for their servers, and the limits of both; closes what it opened.

    `launchers` run the programs of commands: on this machine (""), and on the servers of each provider; `prober` looks
    at what answers over the network.
    With `simulation` every provider is simulated, whatever its name, over the durable world of the state folder.
    A provider that does not answer is asked again for `patience` seconds.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        limits: Limits,
        simulation: SimulationSettings | None = None,
        world: SharedWorld | None = None,
        runner: SharedRunner | None = None,
        *,
        patience: float = SOON_SECONDS,
    ) -> None:
        self.providers: dict[str, Provider] = {}
        self.looks = ReadRetry(clock, tell=_tell)
        self.runners: dict[str, Runner] = {}
        self.launchers: dict[str, Launcher] = {}
        self.prober: Prober | None = None
        self.troubles: dict[str, ProviderUnavailable] = {}
        self.limits = limits
        self._settings = settings
        self.clock = clock
        self._simulation = simulation
        self._patience = patience
        self._world = world or SharedWorld(settings)
        self._own_world = world is None
        self._runner = runner or SharedRunner(settings, clock)

    async def __aenter__(self) -> Adapters:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        closed = await asyncio.gather(
            *(provider.aclose() for provider in self.providers.values()), return_exceptions=True
        )
        if self._world is not None and self._own_world:
            self._world.close()
        self.providers = {}
        for outcome in closed:
            if outcome is not None:
                raise outcome

    @cached_property
    def places(self) -> PlacePorts:
        """What reaches ports at places."""
        return PlacePorts(self._settings)

    @cached_property
    def logins(self) -> OperatorSshKeys:
        """The keys that log in to servers; simulated ones need none."""
        return OperatorSshKeys(self._settings)

    def key_file(self, public: str) -> str:
        """The file with which a public key logs in."""
        return self.places.noted(self.logins.file(public), public)

    def _patient(self, provider: Provider) -> Provider:
        return PatientProvider(provider, self.looks, self._patience)

    @property
    def readers(self) -> dict[str, Provider]:
        """The opened providers for read-only use: a failed read is repeated."""
        return {name: self._patient(provider) for name, provider in self.providers.items()}

    @property
    def install_seconds(self) -> float | None:
        """The usual duration of a simulated install in seconds, for estimates; None if the catalogue has one."""
        if self._simulation is None:
            return None
        simulation = Simulation.from_settings(self._simulation)
        return simulation.install_seconds * simulation.time_scale

    def look_for(self, patience: float, tell: Tell) -> None:
        """From now on, ask a provider that does not answer again for `patience` seconds and report it to `tell`."""
        self._patience, self.looks = patience, ReadRetry(self.clock, tell=tell)

    async def open(self, names: Iterable[str], ports: Collection[PortKind] = ()) -> None:
        """Open these providers; one that fails is recorded in `troubles`, not raised.

        `ports` are the other ports used there: a runner for their servers, a launcher. A provider that is open already
        may get more of them: a plan may use ports that making it did not.
        """
        for name in names:
            if name in self.troubles:
                continue
            try:
                if name not in self.providers:
                    await self._open(name)
                self._open_ports(name, ports)
            except ProviderUnavailable as error:
                self.troubles[name] = error
        self.limits.add_lanes_of_types()

    async def _open(self, name: str) -> None:
        provider = self._connect(name)
        await self._patient(provider).open()
        self.providers[name] = provider
        known = provider.capabilities
        rates = known.rate, known.burst, known.destroy_rate, known.destroy_burst
        self.limits.add(name, Lane(known.concurrency, *rates, account=name))

    def open_programs(self) -> None:
        """Prepare to run programs on this machine, and to probe from it. Raises ProviderUnavailable, StoreError."""
        if self._simulation is None:
            folder, look_up = self._settings.state_dir / "programs", partial(reveal, environ=os.environ)
            self.launchers[""] = LocalCommands(folder, self.clock, os.environ, look_up)
            self.prober = NetworkProber(self._settings.checks.private_hosts, os.environ, look_up)
        else:
            simulation = Simulation.from_settings(self._simulation)
            self.launchers[""] = self._pretend(simulation)
            self.prober = SimulatedProber(self._world.get(), self.clock, simulation)

    def _pretend(self, simulation: Simulation) -> Launcher:
        return SimulatedLauncher(self._world.get(), self.clock, simulation)

    def launcher_of(self, command: Operation, at: str = "") -> Launcher:
        """The launcher that knows what a command needs; its servers need not exist yet. `at`: from this place.

        Raises PlaceUnusable.
        """
        if place := self.where("", at):
            return self.places.launcher("" if command.targets is None else SERVERS, place)
        return self.launchers[""] if command.targets is None or self._simulation is not None else self._over_ssh

    def where(self, provider: str, at: str = "") -> str:
        """The place of calls about a provider's servers, for an operation that says `at`; "" for this machine."""
        if self._simulation is not None or not (at or AT in self._settings.providers.get(provider, {})):
            return ""
        return self.places.where(provider, at)

    @property
    def _over_ssh(self) -> Launcher:
        return SshCommands(os.environ, partial(reveal, environ=os.environ), self.clock)

    def places_of(self, steps: Sequence[Step]) -> list[str]:
        """The place from which each step of a plan is done; "" for this machine."""
        providers = {step.id: step.provider for step in steps}

        def place(step: Step) -> str:
            own = step.provider if type_of(step).port is PortKind.PROVIDER else ""
            return self.where(providers[step.server] if step.server else own, step.request.at)

        return [place(step) for step in steps]

    def _is_simulated(self, name: str) -> bool:
        return self._simulation is not None or name == "simulated"

    def _connect(self, name: str) -> Provider:
        if self.where(name):
            return self.places.provider(name)
        if not self._is_simulated(name):
            return registry.connect(name, self.clock, self._settings.of_provider(name))
        return Simulated(name, self._world.get(), self._world_clock(), self._simulation_of(name))

    def _world_clock(self) -> Clock:
        return RunClock(self.clock, self._world.get().latest)

    def _simulation_of(self, name: str) -> Simulation:
        return Simulation.from_settings(self._simulation or {}, name)

    def _open_ports(self, name: str, ports: Collection[PortKind]) -> None:
        if PortKind.RUNNER in ports and name not in self.runners:
            with contextlib.suppress(TaskservPackageMissing):  # open_for reports it, if something is installed there
                self.runners[name] = self._new_runner(name)
        if PortKind.LAUNCHER in ports and name not in self.launchers:
            self.launchers[name] = self._new_launcher(name)

    def launcher_on(self, provider: str) -> Launcher:
        """What runs programs on servers of a provider, which need not be open, or with "" on this machine."""
        if provider not in self.launchers:
            self.launchers[provider] = self._new_launcher(provider)
        return self.launchers[provider]

    def _new_launcher(self, name: str, at: str = "") -> Launcher:
        if place := self.where(name, at):
            return self.places.launcher(name, place)
        if self._is_simulated(name):
            return self._pretend(self._simulation_of(name))
        return self._over_ssh if name else self.launchers[""]

    def _new_runner(self, name: str, at: str = "") -> Runner:
        if place := self.where(name, at):
            return self.places.runner(name, place)
        if not self._is_simulated(name):
            return self._runner.get(self._settings.catalogues)
        return SimulatedRunner(
            self._world.get(), self._world_clock(), self._simulation_of(name), lambda: self._catalogue
        )

    @cached_property
    def _catalogue(self) -> Mapping[str, Taskserv]:
        return load_catalogue(self._settings.catalogues)

    def runner(self, provider: str, at: str = "") -> Runner:
        """What installs on the servers of an opened provider, for an operation that says `at`.

        Raises TaskservPackageMissing, CatalogueInvalid, PlaceUnusable.
        """
        key = port_key(provider, at)
        if key not in self.runners:
            self.runners[key] = self._new_runner(provider, at)
        return self.runners[key]

    def loading(self, workflow: Workflow | None) -> Adapters:
        """These, while they load what installs need, beside what is done until then, if there certainly are some."""
        if workflow is not None and workflow.changes.reinstall and self._simulation is None:
            self._runner.load()
        return self

    async def open_for(self, plan: Plan) -> None:
        """Open what an existing plan needs. Raises ProviderUnavailable; NotAllowed for another account."""
        ports = {type_of(step).port for step in plan.steps}
        await self.open((facts.name for facts in plan.providers), ports)
        if PortKind.LAUNCHER in ports:
            self.open_programs()
        self._open_at(plan)
        self._check_runners(plan)
        for facts in plan.providers:
            if facts.name in self.troubles:
                raise self.troubles[facts.name]
            account = await self._patient(self.providers[facts.name]).account()
            if account != facts.account:
                raise NotAllowed(
                    f"this run was created in the account {facts.account} of {facts.name}, but the credentials are for "
                    f"{account}",
                    hint="Use the credentials of the account in which the run was created.",
                )

    def _open_at(self, plan: Plan) -> None:
        """The ports of operations that say where they are done, for servers of every provider. Raises PlaceUnusable."""
        names = [facts.name for facts in plan.providers]
        for port, at in {(type_of(step).port, step.request.at) for step in plan.steps if step.request.at}:
            for name in names if port is PortKind.RUNNER else ["", *names]:
                if port is PortKind.RUNNER:
                    self.runner(name, at)
                else:
                    self.launchers[port_key(name, at)] = self._new_launcher(name, at)

    def _check_runners(self, plan: Plan) -> None:
        """Better known now than when the servers stand. Raises TaskservPackageMissing, CatalogueInvalid."""
        providers = {step.id: step.provider for step in plan.steps}
        installs = (step for step in plan.steps if type_of(step).port is PortKind.RUNNER)
        for provider, at in dict.fromkeys((providers[step.server], step.request.at) for step in installs):
            if provider not in self.troubles:
                self.runner(provider, at)
