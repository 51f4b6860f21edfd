"""Clouds in process, under any provider's name: seeded latencies and faults; the world can outlive the process."""

from batchwright.providers.simulated.adapter import Simulated
from batchwright.providers.simulated.command_launcher import SimulatedLauncher
from batchwright.providers.simulated.prober import SimulatedProber
from batchwright.providers.simulated.settings import Simulation
from batchwright.providers.simulated.taskserv_runner import SimulatedRunner
from batchwright.providers.simulated.world import World
from batchwright.providers.simulated.world_records import SimulatedCall, SimulatedServer

__all__ = [
    "Simulated",
    "SimulatedCall",
    "SimulatedLauncher",
    "SimulatedProber",
    "SimulatedRunner",
    "SimulatedServer",
    "Simulation",
    "World",
]
