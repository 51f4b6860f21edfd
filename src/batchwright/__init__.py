"""Batch workflows of infrastructure operations: typed, planned, parallel, crash-safe, reversible.

Plug-ins import their names from here. Each name is loaded on first use, since every command imports this module.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchwright.errors import BatchwrightError, ProviderThrottled, ProviderUnavailable, SecretMissing, UsageError
    from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, ServerState, Throttled, Unknown
    from batchwright.model.clock import Clock
    from batchwright.model.diagnostic import Diagnostic, Severity
    from batchwright.model.fault import Fault, FaultClass
    from batchwright.model.ids import Token
    from batchwright.model.plan import Guard, ServerFacts
    from batchwright.model.scalar import Scalar
    from batchwright.model.ssh_access import SshAccess
    from batchwright.model.update_behavior import ChangeWay, FieldWay
    from batchwright.model.workflow import ServerConfig
    from batchwright.operations.server_batch import ServerRequest
    from batchwright.providers.base import (
        Attached,
        Capabilities,
        Provider,
        ProviderHealthReport,
        Quota,
        Quote,
        refuse_attached,
    )
    from batchwright.providers.live_check import LiveCheck

__version__ = "0.1.0"

__all__ = [
    "Attached",
    "BatchwrightError",
    "Capabilities",
    "ChangeWay",
    "Clock",
    "Created",
    "Diagnostic",
    "Fault",
    "FaultClass",
    "FieldWay",
    "Going",
    "Gone",
    "Guard",
    "LiveCheck",
    "Observed",
    "Provider",
    "ProviderHealthReport",
    "ProviderThrottled",
    "ProviderUnavailable",
    "Quota",
    "Quote",
    "Rejected",
    "Scalar",
    "SecretMissing",
    "ServerConfig",
    "ServerFacts",
    "ServerRequest",
    "ServerState",
    "Severity",
    "SshAccess",
    "Throttled",
    "Token",
    "Unknown",
    "UsageError",
    "refuse_attached",
]

_HOMES = (  # asked in this order; the first that has a name is its home
    *("errors", "model.diagnostic", "model.scalar", "model.workflow", "model.fault", "model.call_outcome"),
    *("model.plan", "model.ids", "model.ssh_access", "model.clock", "model.update_behavior"),
    *("operations.server_batch", "providers.base", "providers.live_check"),
)


def __getattr__(name: str) -> object:
    if name in __all__:
        for home in _HOMES:
            module = import_module(f"batchwright.{home}")
            if hasattr(module, name):
                found = globals()[name] = getattr(module, name)
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
