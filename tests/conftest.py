"""The order of the tests, and what is said of those that were skipped."""

from __future__ import annotations

import gc
import os
import subprocess
from asyncio.base_subprocess import BaseSubprocessTransport
from asyncio.selector_events import _SelectorTransport  # type: ignore[attr-defined]
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from batchwright.app import adapters
from batchwright.loader.evaluator_client import Evaluator
from batchwright.service import evaluator_pool
from tests.support import command_fork_server, examples
from tests.support.command_fork_server import CommandForkServer
from tests.support.shared_evaluator import SharedEvaluator
from tests.support.shared_evaluator_worker import SharedEvaluatorWorker
from tests.support.shared_fork_server import fork_server

BEGUN = evaluator_pool._begun
EVALUATING = ("loader.load", "loader.policy_file", "loader.rehearsal_rules", "app.editor_schemas")
assert examples.PART  # registers its profiles of hypothesis before any test is collected

# The longest first, so that none of them is left for the end
SLOW = (
    *("tests/e2e/test_handing_over", "tests/e2e/test_shop", "tests/e2e/test_readme", "tests/crash/test_local"),
    *("tests/real/", "tests/crash/test_sigkill", "tests/unit/providers/local/", "tests/conformance/test_pyinfra"),
    *("tests/conformance/test_local", "tests/e2e/test_three_ways", "tests/e2e/test_service.py"),
    *("tests/e2e/test_shared_resources", "tests/e2e/test_webhooks", "tests/e2e/test_nushell", "tests/e2e/test_servers"),
    *("tests/crash/", "tests/e2e/", "tests/conformance/"),
)


@pytest.fixture(scope="session", autouse=True)
def _shared_processes() -> Iterator[None]:
    """To load a file, here or in a service here, starts no process, unless a test asks for `own_evaluator`.

    A process of the command is forked from one that has loaded it, unless a test asks for `own_start`. Task services
    are installed by forks of one server.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "_execute_child", command_fork_server.execute)
        for name in EVALUATING:
            patch.setattr(import_module(f"batchwright.{name}"), "Evaluator", SharedEvaluator)
        patch.setattr(evaluator_pool, "_begun", SharedEvaluatorWorker.begun)
        patch.setattr(adapters, "ForkServer", fork_server)
        yield
    SharedEvaluator.end()
    SharedEvaluatorWorker.end_all()
    CommandForkServer.end_shared()


@pytest.fixture
def own_evaluator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each load starts a process of its own, as it does for users, and there is no other."""
    SharedEvaluator.end()
    for name in EVALUATING:
        monkeypatch.setattr(import_module(f"batchwright.{name}"), "Evaluator", Evaluator)
    monkeypatch.setattr(evaluator_pool, "_begun", BEGUN)


@pytest.fixture
def own_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process of the command is an interpreter that starts and loads it, as it is for users."""
    monkeypatch.setattr(subprocess.Popen, "_execute_child", command_fork_server.EXECUTE)


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The address of a new database on a real PostgreSQL server, which all tests of the session share."""
    from tests.support.postgres_server import shared  # here, as most sessions need no server

    return shared(_session_folder(tmp_path_factory)).new_database()


@pytest.fixture
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Task queues of its own on Temporal's development server, which all tests of the session share."""
    from tests.support.temporal_server import shared

    return shared(_session_folder(tmp_path_factory))


def _session_folder(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def _remembering(begin: Callable[..., None]) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **named: Any) -> None:  # noqa: N807
        self._begun_in = f"{os.environ.get('PYTEST_CURRENT_TEST')} by {named.get('protocol') or args[2:3]}"
        try:
            begin(self, *args, **named)
        except AssertionError:  # asyncio accepted it just before its server was closed: nobody else would close it
            self._sock.close()
            self._sock = None
            raise

    return __init__


def _naming(described: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda self: f"{described(self)} begun in {self._begun_in}"


# The garbage collector finds an open connection in a later test: its warning says in which one it was begun.
for _kind in (_SelectorTransport, BaseSubprocessTransport):
    _kind.__init__ = _remembering(_kind.__init__)
    _kind.__repr__ = _naming(_kind.__repr__)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays: to look for garbage in it, now or later, would take a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All workers but two begin with their share of the slow ones, which wait much: the two keep the cores busy.

    Those that share servers, an `xdist_group`, stay together.
    """
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        group = item.get_closest_marker("xdist_group")
        groups.setdefault(group.args[0] if group else item.nodeid, []).append(item)
    slow = sorted(
        (tests for tests in groups.values() if _place(tests[0]) < len(SLOW)), key=lambda tests: _place(tests[0])
    )
    quick = [item for tests in groups.values() if _place(tests[0]) == len(SLOW) for item in tests]
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    begin_slowly = max(1, workers - 2)
    ordered: list[pytest.Item] = []
    for worker in range(workers):  # as many for each as `worksteal` will give it
        share = [item for tests in slow[worker::begin_slowly] for item in tests] if worker < begin_slowly else []
        fill = max(0, (len(items) - len(ordered)) // (workers - worker) - len(share))
        ordered += [*share, *quick[:fill]]
        del quick[:fill]
    items[:] = ordered + quick


def _place(item: pytest.Item) -> int:
    return next((n for n, start in enumerate(SLOW) if item.nodeid.startswith(start)), len(SLOW))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last lines say how many tests were skipped, and why."""
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    terminalreporter.section(f"{reasons.total()} skipped")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count} skipped: {reason}")
