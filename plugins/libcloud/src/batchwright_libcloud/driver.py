"""Libcloud's drivers in threads. Each thread has its own driver, since drivers keep the state of a call.

Libcloud retries nothing unless told to, and every call of its drivers ends by a time-out.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from libcloud.compute.base import NodeDriver
from libcloud.compute.providers import DRIVERS, get_driver

from batchwright import Scalar, UsageError
from batchwright.model.did_you_mean import close_matches

T = TypeVar("T")
Make = Callable[[], NodeDriver]

_USER_DATA = ("ex_userdata", "ex_user_data")  # the drivers' names for it


def maker(driver: str, credentials: list[str], options: Mapping[str, Scalar]) -> Make:
    """A function that creates a driver. Raises UsageError for a driver that Libcloud does not have."""
    known = sorted(str(getattr(name, "value", name)) for name in DRIVERS)
    if driver not in known:
        near = close_matches(driver, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Available: {', '.join(known)}"
        raise UsageError(f"libcloud: there is no driver {driver}", hint=hint)
    return lambda: get_driver(driver)(*credentials, **options)


class Drivers:
    """A bounded pool. A call that is cancelled continues unobserved: its outcome is unknown."""

    def __init__(self, make: Make, concurrency: int) -> None:
        self._make, self._own = make, threading.local()
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="libcloud")

    async def run(self, work: Callable[[NodeDriver], T]) -> T:
        """Run `work` with a driver. Raises whatever it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(self._driver()))

    def _driver(self) -> NodeDriver:
        driver: NodeDriver | None = getattr(self._own, "driver", None)
        if driver is None:
            driver = self._own.driver = self._make()
        return driver

    def close(self) -> None:
        """Close the pool. Calls in progress end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def create_arguments(driver: NodeDriver) -> set[str]:
    """The parameters of a driver's create call."""
    return set(inspect.signature(driver.create_node).parameters)


def user_data_argument(driver: NodeDriver) -> str:
    """The driver's name for the user_data; empty if it has none."""
    taken = create_arguments(driver)
    return next((name for name in _USER_DATA if name in taken), "")


def chosen(rows: list[Any], wanted: str) -> Any:
    """The size, image or location with that id or name; None if there is none, or more than one with that name."""
    named = [row for row in rows if str(row.name) == wanted]
    return next((row for row in rows if str(row.id) == wanted), named[0] if len(named) == 1 else None)
