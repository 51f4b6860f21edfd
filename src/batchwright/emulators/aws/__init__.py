"""AWS in one process: EC2 with what a careful client depends on, and what it asks of STS, SSM and Service Quotas."""

from batchwright.emulators.aws.account import AwsAccount, Inventory
from batchwright.emulators.aws.backed import BackedAwsAccount
from batchwright.emulators.aws.coverage import explanation
from batchwright.emulators.aws.server import INVENTORY, AwsServer, left, serve, serving
from batchwright.emulators.aws.settings import AwsBehaviour, behaviour

__all__ = [
    "INVENTORY",
    "AwsAccount",
    "AwsBehaviour",
    "AwsServer",
    "BackedAwsAccount",
    "Inventory",
    "behaviour",
    "explanation",
    "left",
    "serve",
    "serving",
]
