"""AWS in one process: EC2 with what a careful client depends on, and what it asks of STS, SSM and Service Quotas."""

from batchwright.testing.emulators.aws.backed import BackedCloud
from batchwright.testing.emulators.aws.cloud import Cloud, Inventory
from batchwright.testing.emulators.aws.explained import explanation
from batchwright.testing.emulators.aws.server import INVENTORY, Server, left, serve, serving
from batchwright.testing.emulators.aws.settings import Behaviour, behaviour

__all__ = [
    "INVENTORY",
    "BackedCloud",
    "Behaviour",
    "Cloud",
    "Inventory",
    "Server",
    "behaviour",
    "explanation",
    "left",
    "serve",
    "serving",
]
