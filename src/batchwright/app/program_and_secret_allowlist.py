"""What the workflow of a client may use of this machine: programs, and secrets that the operator has listed.

A client's workflow is data. A client that may submit one may use what is listed here, and nothing else that the
service's user could read or run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchwright.app.allowed_settings import ServiceSecrets
from batchwright.app.install_artifacts import planned_sources, sources_of, with_sources
from batchwright.errors import Forbidden, SecretRefused, SourceRefused, UsageError
from batchwright.loader.contract_report import WHOLE, PathDiagnostic
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.run import Run
from batchwright.model.secret_reference import SecretReference
from batchwright.model.secret_traversal import Path as Place
from batchwright.model.secret_traversal import mapped
from batchwright.model.taskserv import Taskserv
from batchwright.model.workflow import Workflow
from batchwright.operations.registry import type_of
from batchwright.user_home import expanded
from batchwright.views.text_format import counted, some

CODE = SecretRefused.code
LIST_HINT = 'The operator can allow it in config.toml: [service] secrets = { env = ["NAME"], files = ["/PATH"] }'
PROGRAM_HINT = (
    "The operator can put the secret into a file and allow that in config.toml, under [service] secrets; "
    "or start the service with --allow-commands."
)
COMMANDS_HINT = (
    "Run it without a service: batchwright run FILE. Or, if everyone who may submit is trusted, start the service "
    "with: batchwright serve --allow-commands"
)

COMMANDS_WAY = (
    "This service runs commands only for clients with a token or over its own socket: batchwright submit FILE "
    "on this machine, without --url. A token: batchwright token create --role operator"
)


class ProgramAndSecretAllowlist(Struct, frozen=True):
    """`commands`: a client's workflow may run programs. `secrets`: the secrets that it may name. `sources`: folders of
    files that it may put on servers.

    `way` says how a client gets the permission to run programs.
    """

    commands: bool = False
    secrets: ServiceSecrets = ServiceSecrets()
    sources: tuple[str, ...] = ()
    way: str = COMMANDS_HINT

    def instead(self, secret: SecretReference) -> SecretReference | None:
        """The allowed reference to use for a client's reference, None if it is refused.

        A file counts by its real path, and the operator's path is used, so that a symbolic link cannot be changed after
        the check.
        """
        if secret.command:
            return secret if self.commands else None
        if secret.env:
            return secret if secret.env in self.secrets.env else None
        real = _real(secret.file)
        listed = (name for name in self.secrets.files if real is not None and _real(name) == real)
        found = next(listed, None)
        return SecretReference(file=found) if found is not None else None

    def instead_of_source(self, path: str) -> str | None:
        """The real path of a source that a client names, None if it is in none of the operator's folders."""
        real = _real(path)
        folders = [folder for name in self.sources if (folder := _real(name)) is not None]
        return real if real is not None and any(Path(real).is_relative_to(folder) for folder in folders) else None

    def refused_sources(self, workflow: Workflow, catalogue: Mapping[str, Taskserv]) -> list[PathDiagnostic]:
        """A diagnostic for each source that is not allowed."""
        return [
            PathDiagnostic(
                (*WHOLE, *place),
                Diagnostic(
                    SourceRefused.code,
                    f'"{name}": {value} is {path}, which this service allows no client to use',
                    SourceRefused.hint,
                ),
            )
            for place, name, value, path in sources_of(workflow, catalogue)
            if self.instead_of_source(path) is None
        ]

    def bound_sources(self, workflow: Workflow, catalogue: Mapping[str, Taskserv]) -> Workflow:
        """The workflow with the real path of each source, so that a link cannot be changed after the check.

        Raises SourceRefused.
        """

        def change(path: str) -> str:
            used = self.instead_of_source(path)
            if used is None:
                raise SourceRefused(f"{path} may not be used by clients")
            return used

        return with_sources(workflow, catalogue, change)

    def refused(self, workflow: Workflow) -> list[PathDiagnostic]:
        """A diagnostic for each reference that is not allowed."""
        return [
            PathDiagnostic(
                (*WHOLE, *(step for step in place if step != "options")), self._diagnostic(workflow, place, secret)
            )
            for place, secret in _references(workflow)
            if self.instead(secret) is None
        ]

    def _diagnostic(self, workflow: Workflow, place: Place, secret: SecretReference) -> Diagnostic:
        """Why the reference at `place` of the workflow is refused."""
        operation = workflow.operations[int(place[1])] if len(place) > 1 and place[0] == "operations" else None
        about = f'operation "{operation.id}": ' if operation is not None else ""
        field = _field(workflow, place) if operation is None else _field(operation, place[2:])
        if secret.command:
            hint = PROGRAM_HINT if self.way == COMMANDS_HINT else self.way
            return Diagnostic(
                CODE, f"{about}{field} is {secret}, and this service runs no programs for this client", hint
            )
        message = f"{about}{field} is {secret}, which this service does not allow its clients to use"
        return Diagnostic(CODE, message, LIST_HINT)

    def bound(self, workflow: Workflow) -> Workflow:
        """The workflow with each client reference replaced by the operator's. Raises SecretRefused."""

        def change(_: Place, secret: SecretReference) -> SecretReference:
            used = self.instead(secret)
            if used is None:
                raise SecretRefused(f"{secret} may not be used by clients", hint=LIST_HINT)
            return used

        return mapped(workflow, change)

    def check_commands(self, workflow: Workflow) -> None:
        """Raise Forbidden if the workflow would run programs and may not."""
        named = [op.id for op in workflow.operations if type_of(op).wants(op).program is not None]
        if named and not self.commands:
            raise Forbidden(
                f"no commands are run for this client, and the workflow has {counted(len(named), 'command')}: "
                f"{some(named)}",
                hint=self.way,
            )

    def check_run(self, run: Run) -> None:
        """Raise Forbidden or SecretRefused if a client's recorded run needs more than is allowed now.

        An old run that does not record its creator counts as a client's if it names secrets.
        """
        client, hint = run.created.client, f"Or, without the service: batchwright resume {run.id}"
        if client is False:
            return
        used = _references((run.plan.notify, [step.request for step in run.plan.steps]))
        refused = {str(one) for _, one in used if not self.instead(one)}
        if refused:
            message = (
                f"run {run.id} is from a client and uses {some(sorted(refused))}, which this service does not allow"
            )
            raise SecretRefused(message, hint=f"{LIST_HINT}. {hint}")
        if barred := sorted(one for one in planned_sources(run.plan.steps) if self.instead_of_source(one) is None):
            message = f"run {run.id} is from a client and uses {some(barred)}, which this service does not allow"
            raise SourceRefused(message, hint=f"{SourceRefused.hint} {hint}")
        real = client and run.plan.simulation is None
        named = [step.id for step in run.plan.steps if type_of(step).program(step) is not None]
        if real and named and not self.commands:
            message = f"run {run.id} is from a client and has commands, which this service does not run: {some(named)}"
            raise Forbidden(message, hint=f"{COMMANDS_HINT}. {hint}")


NOTHING = ProgramAndSecretAllowlist()


def _real(name: str) -> str | None:
    """The real path of a file, links resolved; None if it is not absolute, contains `..` or cannot be resolved."""
    path = Path(name)
    if name.startswith("~/"):
        try:
            path = expanded(path)
        except UsageError:
            return None
    if not path.is_absolute() or ".." in path.parts:
        return None
    try:
        return str(path.resolve())
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return None


def _references(value: Any) -> Iterator[tuple[Place, SecretReference]]:
    found: list[tuple[Place, SecretReference]] = []

    def note(place: Place, secret: SecretReference) -> SecretReference:
        found.append((place, secret))
        return secret

    mapped(value, note)
    return iter(found)


def _field(value: Any, place: Place) -> str:
    """The path in words: elements of lists by their names, where they have one."""
    words = []
    for step in place:
        value = getattr(value, str(step)) if isinstance(value, Struct) else value[step]
        name = getattr(value, "name", None) if isinstance(step, int) else None
        if step != "options":
            words.append(str(name if name is not None else step))
    return ".".join(words)
