"""Clouds in process, under any provider's name: seeded latencies and faults; the world can outlive the process."""

from batchwright.providers.simulated.adapter import Simulated
from batchwright.providers.simulated.launcher import SimulatedLauncher
from batchwright.providers.simulated.rows import SimulatedCall, SimulatedServer
from batchwright.providers.simulated.runner import SimulatedRunner
from batchwright.providers.simulated.settings import Simulation
from batchwright.providers.simulated.world import World

__all__ = [
    "Simulated",
    "SimulatedCall",
    "SimulatedLauncher",
    "SimulatedRunner",
    "SimulatedServer",
    "Simulation",
    "World",
]
