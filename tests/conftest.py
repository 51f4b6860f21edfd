"""The order of the tests."""

from __future__ import annotations

import os

import pytest

SLOW = ("tests/crash/", "tests/e2e/", "tests/real/", "tests/conformance/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each worker begins with its share of the slow ones, so that none of them is left for the end."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ordered = sorted(items, key=lambda item: not item.nodeid.startswith(SLOW))
    items[:] = [item for worker in range(workers) for item in ordered[worker::workers]]
