"""A catalogue entry's deploy.py in the child process: how it is loaded, what it is given, and how it may fail."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from pyinfra.api.exceptions import NestedOperationError, PyinfraError

from batchwright.model.map_variable_paths import nested
from batchwright.taskservs.debian import DeployImpossible
from batchwright.taskservs.runner.child_protocol import ChildJob, Verb

DEPLOY_FILE = "deploy.py"

Deploy = Callable[[SimpleNamespace], None]


class DeployFailed(Exception):
    """The deploy failed on one server. `bug`: a retry is of no use."""

    def __init__(self, words: str, *, bug: bool = False) -> None:
        super().__init__(words)
        self.bug = bug


def load_deploy(job: ChildJob) -> Deploy:
    """The function for the job's verb; calling it raises nothing but DeployFailed."""
    path = Path(job.folder) / DEPLOY_FILE

    def deploy(v: SimpleNamespace) -> None:
        try:
            _function(path, job.verb)(v)
        except NestedOperationError:
            raise DeployFailed("an operation failed") from None
        except DeployImpossible as error:
            raise DeployFailed(str(error), bug=True) from None
        except DeployFailed:
            raise
        except (PyinfraError, OSError, EOFError) as error:
            raise DeployFailed(str(error) or type(error).__name__) from error
        except Exception as error:
            raise DeployFailed(f"{path.name} of {job.name}: {_where(error)}", bug=True) from error

    return deploy


def _function(path: Path, verb: Verb) -> Deploy:
    spec = importlib.util.spec_from_file_location(f"batchwright_deploy_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    name = "remove" if verb is Verb.REMOVE else "install"
    function: Deploy | None = getattr(module, name, None)
    if function is None:
        raise DeployFailed(f"{path.name} has no function {name}(v)", bug=True)
    return function


def values(job: ChildJob) -> SimpleNamespace:
    """What a deploy function is given: `v`."""
    host = job.host
    cluster = host.cluster
    return SimpleNamespace(
        **{
            **nested({**host.variables, **host.sources}),
            "secrets": frozenset(host.secrets),
            "name": job.name,
            "version": job.version,
            "variant": host.variant,
            "server": SimpleNamespace(name=host.name, address=host.address),
            "cluster": cluster and SimpleNamespace(number=cluster.number, size=cluster.size, leader=cluster.leader),
            "outputs": SimpleNamespace(**host.outputs),
        }
    )


def _where(error: Exception) -> str:
    """What went wrong, and in which line."""
    at, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(DEPLOY_FILE):
            at = trace.tb_lineno
        trace = trace.tb_next
    where = f"line {at}: " if at else ""
    return f"{where}{type(error).__name__}: {error}"
