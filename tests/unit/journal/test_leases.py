"""Who drives a run, whether it still lives, and who may take its place, whatever any wall clock says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.errors import RunHeld
from batchwright.journal.lease_holder import (
    FOR_EVER,
    LEASE_SECONDS,
    HeldLease,
    LeaseObserver,
    driver_of,
    is_alive,
    is_dead,
    moved_to,
    own_holder,
    process_of,
    refuse_while_held,
    seconds_of,
)

CHILD = "from batchwright.journal.lease_holder import own_holder; print(own_holder(), flush=True); input()"


def changed(holder: str, pid: str = "", start: str = "", kernel: str = "", pids: str = "", time: str = "") -> str:
    """The same holder with parts of it as another machine, container or process would have them."""
    rest, _, last = holder.rpartition(":")
    host, _, own_pid = rest.rpartition(":")
    own_start, _, place = last.partition("@")
    own_kernel, own_pids, own_time = place.split(".")
    where = f"{kernel or own_kernel}.{pids or own_pids}.{time or own_time}"
    return f"{host}:{pid or own_pid}:{start or own_start}@{where}"


def test_this_process_lives_and_one_that_started_at_another_time_does_not() -> None:
    """D5: a number that was given to another process does not keep a dead driver alive."""
    own = own_holder()
    assert (is_alive(own), is_dead(own)) == (True, False)
    assert (is_alive(own_holder(9.0)), is_dead(own_holder(9.0))) == (True, False)
    assert (seconds_of(own), seconds_of(own_holder(9.0)), seconds_of("somebody")) == (LEASE_SECONDS, 9.0, LEASE_SECONDS)
    reused = changed(own, start="1")
    assert (is_alive(reused), is_dead(reused)) == (False, True)
    assert process_of(own) == f"process {os.getpid()} on {own.rpartition(':')[0].rpartition(':')[0]}"
    assert process_of("somebody") == "somebody"


@pytest.mark.parametrize("where", [{"kernel": "12345678"}, {"pids": "1"}])
@pytest.mark.parametrize("what", [{}, {"start": "1"}, {"pid": "4194303"}])
def test_nothing_is_certain_about_a_process_of_another_kernel_or_container(
    where: dict[str, str], what: dict[str, str]
) -> None:
    """D5: the same host name says nothing; its numbers mean other processes here."""
    other = changed(own_holder(), **where, **what)
    assert (is_alive(other), is_dead(other)) == (False, False)


def test_in_another_time_namespace_only_a_number_that_nobody_has_is_certain() -> None:
    """D5: start times are shifted there."""
    assert not is_dead(changed(own_holder(), time="1", start="1"))
    assert not is_alive(changed(own_holder(), time="1"))
    assert is_dead(changed(own_holder(), time="1", pid="4194303"))


@pytest.mark.parametrize(
    "holder", ["another-machine:1:0", "somebody", "", "a:b:c", "h:1:1@x", "h:99999999999999999999:1@a.b.c"]
)
def test_what_old_or_other_programs_wrote_is_never_taken_for_dead(holder: str) -> None:
    """D5: leases written before there were places are watched."""
    assert not is_dead(holder)
    assert not is_alive(holder)


def test_a_killed_process_is_dead_and_a_stopped_one_is_neither() -> None:
    """D5: by its own number, on this machine, with no clock at all."""
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    holder = child.stdout.readline().strip()
    assert is_alive(holder)
    child.send_signal(19)  # SIGSTOP
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert (is_alive(holder), is_dead(holder)) == (False, False)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(holder), "one that nobody has waited for yet is dead, too"
    child.communicate()
    assert is_dead(holder)


def test_a_lease_is_refused_unless_its_holder_is_dead_or_silent() -> None:
    """D5: `expires` is compared and never read."""
    lease = HeldLease("elsewhere:1:1", 3, 10.0)
    refuse_while_held("aaaa", None, "here:1:1", None)
    refuse_while_held("aaaa", lease, "elsewhere:1:1", None)
    refuse_while_held("aaaa", lease, "here:1:1", lease)
    refuse_while_held("aaaa", HeldLease(changed(own_holder(), start="1"), 3, 1e12), "here:1:1", None)
    for seen in (
        None,
        HeldLease("elsewhere:1:1", 3, 9.0),
        HeldLease("elsewhere:1:1", 2, 10.0),
        HeldLease("other:1:1", 3, 10.0),
    ):
        with pytest.raises(RunHeld, match="run aaaa is driven by process 1 on elsewhere"):
            refuse_while_held("aaaa", lease, "here:1:1", seen)
    gone = HeldLease(moved_to("there"), 3, FOR_EVER + 1.0)
    with pytest.raises(RunHeld, match="moved"):
        refuse_while_held("aaaa", gone, "here:1:1", gone)


def test_what_is_shown_of_a_holder() -> None:
    assert driver_of(None, 1.0) is None
    assert driver_of(HeldLease("elsewhere:1:1", 1, 10.0), 9.9) == "elsewhere:1:1"
    assert driver_of(HeldLease("elsewhere:1:1", 1, 10.0), 10.0) is None
    assert driver_of(HeldLease(own_holder(), 1, 10.0), 1e9) == own_holder(), "a process that is seen to work does"
    assert driver_of(HeldLease(changed(own_holder(), start="1"), 1, 10.0), 1.0) is None


LOOKS = st.lists(st.tuples(st.floats(0.0, 10.0), st.booleans(), st.floats(-18_000.0, 18_000.0)), max_size=40)


@given(LOOKS, st.sampled_from([("elsewhere:1:1", LEASE_SECONDS), ("elsewhere:1:1~9", 9.0), ("a:1:1@b.c.d~0.5", 0.5)]))
def test_a_lease_is_silent_only_after_so_long_without_a_sign(
    looks: list[tuple[float, bool, float]], who: tuple[str, float]
) -> None:
    """D5: any clock of the holder, jumping as it likes; all that counts is our own monotonic time."""
    holder, promised = who
    now = quiet_since = 0.0
    sightings, expires = LeaseObserver(lambda: now), 100.0
    sightings.silent("run", HeldLease(holder, 1, expires))
    for passed, renews, jump in looks:
        now += passed
        if renews:
            expires += jump if abs(jump) > 1.0 else 1.0
            quiet_since = now
        lease = HeldLease(holder, 1, expires)
        silent = sightings.silent("run", lease)
        assert (silent == lease) is (now - quiet_since >= promised)
    assert sightings.silent("run", None) is None
    assert sightings.is_free("run", None)
