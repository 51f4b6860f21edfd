"""AWS in one process: EC2 as far as a careful client depends on it, and parts of STS, SSM and Service Quotas."""

from batchwright.emulators.aws.account import AwsAccount, Inventory
from batchwright.emulators.aws.app import AwsEmulator
from batchwright.emulators.aws.backed import BackedAwsAccount
from batchwright.emulators.aws.coverage import coverage
from batchwright.emulators.aws.settings import AwsBehaviour
from batchwright.emulators.cloud import CloudEmulator
from batchwright.emulators.server import serve

EMULATOR = CloudEmulator(
    title="AWS",
    port=9181,
    behaviour=AwsBehaviour,
    emulator=AwsEmulator,
    environ={
        "AWS_ENDPOINT_URL": "{url}",
        "AWS_ACCESS_KEY_ID": "emulated",
        "AWS_SECRET_ACCESS_KEY": "emulated",
    },
    coverage=coverage,
    backed=BackedAwsAccount,
)

__all__ = ["EMULATOR", "AwsAccount", "AwsBehaviour", "AwsEmulator", "BackedAwsAccount", "Inventory", "serve"]
