"""Which ports are at a place, and the port adapters that reach them there."""

from __future__ import annotations

from batchwright.app.settings import AT, Settings
from batchwright.commands.base import Launcher
from batchwright.errors import ConfigInvalid, PlaceUnusable
from batchwright.model.remote_place import NAME
from batchwright.places.codec import PlaceReport
from batchwright.places.place_link import PlaceLink
from batchwright.places.place_provider import PlaceProvider
from batchwright.places.place_runner import PlaceLauncher, PlaceRunner
from batchwright.providers.base import Capabilities, Provider
from batchwright.taskservs.base import Runner


class PlacePorts:
    """Port adapters for what the settings, or an operation, say is at a place. At the place itself there are none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reports: dict[str, PlaceReport] = {}
        self._publics: dict[str, str] = {}  # of key files here, which are of no use at a place

    def noted(self, file: str, public: str) -> str:
        """The key file; a place is told the public key in its stead, and finds its own file."""
        self._publics[file] = public
        return file

    def place_of(self, provider: str) -> str:
        """The place from which a provider is called; "" for this machine. Raises ConfigInvalid."""
        place = self._settings.providers.get(provider, {}).get(AT, "")
        if place and not (isinstance(place, str) and NAME.fullmatch(place)):
            raise ConfigInvalid(
                f"[{provider}] at is {place!r}, which is not the name of a place",
                hint='A place has lower-case letters, digits and -, as in: at = "dc-madrid"',
            )
        return "" if place == self._settings.here else str(place)

    def where(self, provider: str, at: str) -> str:
        """The place of a call about a provider's servers, of which the operation says `at`; "" for this machine."""
        place = at or (self.place_of(provider) if provider else "")
        return "" if place == self._settings.here else place

    def provider(self, name: str) -> Provider:
        """A provider at its place, not open. Raises PlaceUnusable."""
        return PlaceProvider(name, self._link(self.place_of(name)))

    async def promises(self, name: str) -> Capabilities:
        """What a provider promises, as its place answers, at its distance from here. Raises ProviderUnavailable."""
        there = self.provider(name)
        await there.open()
        return there.capabilities

    def runner(self, provider: str, place: str) -> Runner:
        """What installs on servers of a provider from a place. Raises PlaceUnusable."""
        return PlaceRunner(provider, self._link(place), self._publics)

    def launcher(self, provider: str, place: str) -> Launcher:
        """What runs programs from a place: on servers of a provider, or with "" on the worker's machine.

        Raises PlaceUnusable.
        """
        return PlaceLauncher(provider, self._link(place), self._publics)

    async def report(self, place: str) -> PlaceReport:
        """What a worker at the place says about itself, asked once. Raises ProviderUnavailable."""
        if place not in self._reports:
            self._reports[place] = await self._link(place).report()
        return self._reports[place]

    def _link(self, place: str) -> PlaceLink:
        carrier = self._settings.carrier
        if carrier is None:
            raise PlaceUnusable(f"nothing carries calls to the place {place}")
        return PlaceLink(place, carrier)
