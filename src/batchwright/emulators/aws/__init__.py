"""AWS in one process: EC2 with what a careful client depends on, and what it asks of STS, SSM and Service Quotas."""

from batchwright.emulators.aws.account import Cloud, Inventory
from batchwright.emulators.aws.backed import BackedCloud
from batchwright.emulators.aws.coverage import explanation
from batchwright.emulators.aws.server import INVENTORY, Server, left, serve, serving
from batchwright.emulators.aws.settings import Behaviour, behaviour

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
