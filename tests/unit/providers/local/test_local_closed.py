"""What root inside a local server cannot do to the machine, and what servers of one run know of each other."""

from __future__ import annotations

import asyncio
import os
import shlex
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.needs import missing
from tests.unit.providers.local.test_local_pure import intent
from tests.unit.providers.local.test_local_servers import Site, Story, tell

from batchwright.model.call_outcome import Gone, ServerState
from batchwright.providers.local import cgroup_bpf, cgroups, hosts_file, records, seccomp
from batchwright.providers.local.host_support import this_machine

__all__ = ["tell"]

# Each prints what it could do; what it cannot do prints nothing. Where one succeeds, the machine is as it was: a
# setting is given the value that it has, and a call is given addresses that are none.
AGAIN = 'v=$(cat {0}) && echo "$v" > {0} && echo wrote'
NEW = "mkdir /p; mount -t proc proc /p && "
TRIES = {
    "remount": "mount -o remount,rw,bind /proc/sys && " + AGAIN.format("/proc/sys/vm/swappiness"),
    "unmount": "umount -l /proc/sys; " + AGAIN.format("/proc/sys/vm/swappiness"),
    "another-proc": NEW + AGAIN.format("/p/sys/vm/swappiness"),
    "core-pattern": NEW + AGAIN.format("/p/sys/kernel/core_pattern"),
    "network-settings": NEW + AGAIN.format("/p/sys/net/core/somaxconn"),
    "disk": "mknod /d b $(lsblk -rno MAJ:MIN 2>/dev/null | head -n 1 | tr : ' ' | grep . || echo 254 0); "
    "head -c 512 /d > /o 2>/dev/null; [ -s /o ] && echo read",
    "memory": "mknod /m c 1 1 && head -c 16 /m > /o 2>/dev/null; [ -s /o ] && echo read",
    "kernel-log": "mknod /k c 1 11 && timeout 2 head -c 16 /k > /o; [ -s /o ] && echo read; dmesg -S && echo read",
}
CALLS = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for name, number in {numbers!r}.items():
    if libc.syscall(number, 1, 1, 1, 1, 1) >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        print(name, ctypes.get_errno())
"""
X86 = {"kexec_load": 246, "init_module": 175, "open_by_handle_at": 304, "perf_event_open": 298, "keyctl": 250,
       "userfaultfd": 323, "acct": 163, "swapon": 167, "swapoff": 168, "syslog": 103}  # fmt: skip


@pytest.mark.parametrize("network", ["shared", "own"])
def test_what_is_closed_stays_closed_for_root(tell: Callable[[Story], None], network: str) -> None:
    """A10: whatever is mounted again, unmounted or made anew inside."""
    if refusal := cgroup_bpf.refusal():
        missing(f"this kernel does not hold servers back: {refusal}")

    async def story(site: Site) -> None:
        seen = await site.made(network=network)
        for name, script in TRIES.items():
            if name == "network-settings" and network == "own":
                continue  # they are its own
            asked = f"cd /; unshare -m sh -c {shlex.quote(script)} 2>/dev/null; rm -rf /p /d /m /k /o; true"
            said = await site.run(seen.ref, asked)
            assert said == "", name
        if os.uname().machine == "x86_64":
            said = await site.run(seen.ref, f"python3 - <<'END'\n{CALLS.format(numbers=X86)}\nEND")
            assert said == ""
        well = "systemctl is-system-running; echo x > /dev/null; head -c 1 /dev/urandom | wc -c"
        assert await site.run(seen.ref, well) == "running\n1\n"
        files = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
        await site.run(seen.ref, f"for f in {files}; do echo -1 > $f; done 2>/dev/null; true")
        outer = [cgroups.group_of(one, seen.ref) for one in cgroups.here()]
        limits = [group / name for group in outer for name in ("memory.limit_in_bytes", "memory.max")]
        assert {one.read_text().strip() for one in limits if one.exists()} <= {str(256 * 1024 * 1024)}

    tell(story)


def test_a_machine_that_cannot_hold_servers_back_says_so() -> None:
    """A10: nobody takes for closed what is open."""
    machine = this_machine()
    if machine.mode == records.SYSTEM:
        assert ("not blocked" in machine.why) == bool(cgroup_bpf.refusal())


def test_the_settings_of_its_own_network_are_a_servers(tell: Callable[[Story], None]) -> None:
    """A10: and nothing else is."""

    async def story(site: Site) -> None:
        seen = await site.made(network="own")
        said = await site.run(seen.ref, "echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward")
        assert said == "1\n"

    tell(story)


def play(program: list[cgroup_bpf.Step], context: bytes) -> int:
    """The few instructions that are used, as the kernel does them; no calls."""
    registers, at = dict.fromkeys(range(11), 0), 0
    while True:
        op, dst, src, off, value = program[at]
        at += 1
        match op:
            case 0x61:
                registers[dst] = struct.unpack_from("<I", context, off)[0]
            case 0xB7:
                registers[dst] = value
            case 0xBF:
                registers[dst] = registers[src]
            case 0x57:
                registers[dst] &= value
            case 0x77:
                registers[dst] >>= value
            case 0x15:
                at += off if registers[dst] == value else 0
            case 0x55:
                at += off if registers[dst] != value else 0
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(hex(op))


@given(st.integers(1, 7), st.sampled_from([1, 2]), st.integers(0, 300), st.integers(0, 300))
def test_only_the_devices_of_the_list_are_used(access: int, kind: int, major: int, minor: int) -> None:
    """A10."""
    allowed = cgroup_bpf.ALLOWED.get(major)
    expected = access == 1 or (kind == 2 and allowed is not None and (not allowed or minor in allowed))
    context = struct.pack("<III", access << 16 | kind, major, minor)
    assert play(cgroup_bpf.devices_program(), context) == int(expected)


@given(st.booleans())
def test_settings_are_read_and_not_written(write: bool) -> None:
    """A10."""
    assert play(cgroup_bpf.settings_program(own_network=False), struct.pack("<II", write, 0)) == int(not write)


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_programs_of_another_machine_find_no_way_around(machine: str) -> None:
    """A10: 32-bit numbers mean something else."""
    program = seccomp.system_filter(machine, bpf=False)
    steps = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    assert steps[2] == (0x06, 0, 0, 0x00050026)
    assert steps[-1] == (0x06, 0, 0, 0x7FFF0000)
    assert len(seccomp.system_filter(machine, bpf=True)) == len(program) - 16


# -- names ------------------------------------------------------------------------------------------------------

hosts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=60)


@given(hosts, st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.just("127.77.0.9"), max_size=4))
def test_what_a_user_wrote_is_kept_and_doing_it_again_changes_nothing(text: str, known: dict[str, str]) -> None:
    """E14."""
    once = hosts_file.renewed(text, known)
    assert hosts_file.renewed(once, known) == once
    assert once.startswith(text)
    gone = hosts_file.renewed(once, {})
    assert gone in (text, f"{text}\n")


def test_a_server_knows_those_of_its_environment_that_it_reaches() -> None:
    """E14: an address of the loopback is another server's only where the network is shared."""
    import msgspec

    def one(ref: str, network: str, run: str = "run", environment: str = "") -> records.Intent:
        made = msgspec.structs.replace(intent(network=network), ref=ref, run=run, environment=environment)
        return msgspec.structs.replace(
            made, request=msgspec.structs.replace(made.request, name=ref), address=f"at-{ref}"
        )

    others = [one("a", "shared"), one("b", "shared"), one("c", "own"), one("d", "own"), one("e", "own", "another")]
    assert hosts_file.known_to(others[0], others) == {"b": "at-b", "c": "at-c", "d": "at-d"}
    assert hosts_file.known_to(others[2], others) == {"d": "at-d"}
    shop = [one("a", "shared", "1", "shop"), one("b", "shared", "2", "shop"), one("c", "shared", "3", "other")]
    assert hosts_file.known_to(shop[0], shop) == {"b": "at-b"}
    older = one("o", "shared", "1")  # made before servers knew their environment
    assert hosts_file.known_to(older, [*shop, older]) == {"a": "at-a"}
    again = msgspec.structs.replace(shop[1], ref="new", address="at-new", made_at=shop[1].made_at + 1)
    assert hosts_file.known_to(shop[0], [again, *shop]) == {"b": "at-new"}


def test_the_names_that_an_older_version_wrote_are_replaced() -> None:
    old = "127.0.0.1 localhost\n# Batchwright: the servers of this run\n127.77.0.8 b\n# Batchwright: end\n"
    assert hosts_file.renewed(old, {}) == "127.0.0.1 localhost\n"


@pytest.mark.parametrize("network", ["shared", "own"])
def test_servers_of_a_run_find_each_other_by_name(tell: Callable[[Story], None], network: str) -> None:
    """E14: those that come later too, after a restart too, and not those that are gone."""

    async def story(site: Site) -> None:
        one = await site.made(name="one", network=network)
        two, three = await asyncio.gather(
            site.made(name="two", network=network), site.made(name="three", network=network)
        )
        assert one.state is two.state is three.state is ServerState.READY
        await site.run(one.ref, "echo 192.0.2.7 mine >> /etc/hosts")
        for here, there in ((one, two), (one, three), (two, one), (three, two)):
            assert (await site.run(here.ref, f"getent hosts {there.name}")).split()[0] == there.address
        knock = "exec 3<>/dev/tcp/two/22; head -c 7 <&3"
        assert await site.run(one.ref, f"bash -c {knock!r}") == "SSH-2.0"
        while await site.local.destroy(three.ref) != Gone():
            await asyncio.sleep(0.02)
        card = "cat /sys/class/net/eth0/address" if network == "own" else "true"
        before = await site.run(one.ref, card)
        await site.local.stop(one.ref)
        await site.local.start(one.ref)
        await site.settled(one.ref)
        assert await site.run(one.ref, card) == before, "the others send to that for a minute"
        said = await site.run(one.ref, "getent hosts mine two; getent hosts three || echo gone; python3 -c 'print(1)'")
        assert said.split() == ["192.0.2.7", "mine", two.address, "two", "gone", "1"]

    tell(story)


def test_a_link_in_the_place_of_its_files_leads_nowhere(tell: Callable[[Story], None], tmp_path: Path) -> None:
    """E14: what a server's root puts there is never followed from outside."""

    async def story(site: Site) -> None:
        one = await site.made(name="one")
        (tmp_path / "outside").mkdir()
        await site.run(one.ref, f"rm /etc/hosts; ln -s {tmp_path}/outside/hosts /etc/hosts")
        two = await site.made(name="two")
        assert two.state is ServerState.READY
        await site.run(one.ref, f"mv /etc /etc.away; ln -s {tmp_path}/outside /etc; true")
        three = await site.made(name="three")
        assert three.state is ServerState.READY
        assert list((tmp_path / "outside").iterdir()) == []
        console = site.state_dir / "local" / "servers" / one.ref / records.CONSOLE
        assert "could not be written to /etc/hosts" in console.read_text(errors="replace")

    tell(story)
