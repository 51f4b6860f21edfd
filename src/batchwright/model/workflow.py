"""What the user wrote, after the contracts of schemas/workflows.ncl have normalised it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from batchwright.model.scalar import Scalar
from batchwright.model.secret import Secret


class DependencyKind(StrEnum):
    """How an operation depends on another."""

    HARD = "hard"  # runs only if the dependency succeeded, else it is skipped
    SOFT = "soft"  # waits until the dependency ended, runs whatever its end was


class OnFailure(StrEnum):
    """What a failed step does to the rest of the run."""

    CONTINUE = "continue"  # independent branches go on
    STOP = "stop"  # nothing new is started
    ROLLBACK = "rollback"  # nothing new is started, then what was made is undone


class Dependency(Struct, frozen=True):
    """One edge to another operation."""

    id: str
    kind: DependencyKind = DependencyKind.HARD


class Retry(Struct, frozen=True):
    """How often a step is tried; delays are seconds, doubled each time, with jitter."""

    max_attempts: int = 3
    initial_delay: float = 1.0
    max_delay: float = 60.0


class ServerConfig(Struct, frozen=True):
    """One server as the user describes it; plan, zone, image and network are the provider's own names.

    `options` are what a provider's own contract in schemas/workflows.ncl lets its servers say besides these.
    """

    name: str
    plan: str = ""
    zone: str = ""
    image: str | None = None
    ssh_keys: tuple[str, ...] = ()
    user_data: str | None = None
    labels: dict[str, str] = {}
    network: str | None = None
    options: dict[str, Any] = {}


class TaskservUse(Struct, frozen=True):
    """A task service asked for by name, with values for its variables; a secret is only named, never given."""

    name: str
    variables: dict[str, Scalar | Secret] = {}


class ServerBatch(Struct, frozen=True, tag_field="type", tag="server_batch"):
    """Ensures that servers exist on one provider."""

    id: str
    provider: str
    server_configs: tuple[ServerConfig, ...]
    dependencies: tuple[Dependency, ...] = ()
    retry: Retry = Retry()
    timeout: float = 600.0  # seconds, per step
    on_failure: OnFailure | None = None


class TaskservBatch(Struct, frozen=True, tag_field="type", tag="taskserv_batch"):
    """Installs task services on servers; `targets` are operation ids or server names."""

    id: str
    provider: str
    taskservs: tuple[TaskservUse, ...]
    dependencies: tuple[Dependency, ...] = ()
    targets: tuple[str, ...] | None = None
    retry: Retry = Retry()
    timeout: float = 1800.0
    on_failure: OnFailure | None = None


class Command(Struct, frozen=True, tag_field="type", tag="command"):
    """Runs a program, without a shell, on this machine, or with `targets` (operation ids or server names) on servers.

    `undo` is the program of a rollback. `idempotent`: it may be run again when nobody knows how far it got.
    """

    id: str
    run: tuple[str, ...]
    undo: tuple[str, ...] = ()
    env: dict[str, str | Secret] = {}
    directory: str | None = None
    targets: tuple[str, ...] | None = None
    idempotent: bool = False
    dependencies: tuple[Dependency, ...] = ()
    retry: Retry = Retry()
    timeout: float = 600.0
    on_failure: OnFailure | None = None

    @property
    def provider(self) -> str:
        """None: a program is no provider's."""
        return ""


Operation = ServerBatch | TaskservBatch | Command


class Workflow(Struct, frozen=True):
    """A whole workflow file."""

    name: str
    version: str
    operations: tuple[Operation, ...]
    description: str | None = None
    storage_backend: str = "filesystem"
    parallel_limit: int = 10
    rollback_enabled: bool = True
    on_failure: OnFailure = OnFailure.CONTINUE
