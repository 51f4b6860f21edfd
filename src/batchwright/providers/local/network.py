"""Networks of their own: a namespace per server, all on one bridge in a further namespace, the lab, which this machine
reaches by one link. Where slirp4netns is installed the lab reaches what the machine does, whose routing stays as it is.

Everything here can be done again, is found by its name, and needs root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from batchwright.durable_files import alone, make_private
from batchwright.providers.local import processes, records
from batchwright.providers.local.sandbox_command import environment

LAB, BRIDGE, UPLINK = "batchwright", "bridge0", "tap0"
LINK, LINK_INSIDE = "batchwright0", "host0"  # the machine's link to the lab, and its other end
GATEWAY, MACHINE, BITS = "198.19.0.1", "198.19.255.254", 16
RANGE = "198.19.0.0/16"
NAMESERVER = "10.0.2.3"  # slirp4netns answers there for the machine's own
NAMESPACES = Path("/run/netns")
UPLINK_SECONDS = 10.0


class NoNetwork(Exception):
    """The network could not be made."""


def namespace(ref: str) -> str:
    """The network namespace of a server."""
    return f"{LAB}-{ref}"


def path_of(ref: str) -> str:
    """What a process enters it by."""
    return str(NAMESPACES / namespace(ref))


def attach(ref: str, address: str) -> None:
    """Give a server its network, with this address. Raises NoNetwork, Held, OSError."""
    with _held():
        _make_lab()
        own, port = namespace(ref), f"bw{ref.removeprefix(records.PREFIX)}"
        _add_namespace(own)
        if not _has_link(LAB, port):
            inside = ("peer", "name", "eth0", "address", _hardware_address(address), "netns", own)
            _ip("link", "add", port, "netns", LAB, "type", "veth", *inside)
        _ip("-n", LAB, "link", "set", port, "master", BRIDGE, "up")
        _ip("-n", own, "address", "replace", f"{address}/{BITS}", "dev", "eth0")
        _ip("-n", own, "link", "set", "eth0", "up")
        _ip("-n", own, "route", "replace", "default", "via", GATEWAY)


def detach(ref: str) -> None:
    """Take a server's network away, and with the last one the lab. Raises NoNetwork, Held, OSError."""
    if not (NAMESPACES / LAB).exists() and not (NAMESPACES / namespace(ref)).exists():
        return
    with _held():
        if (NAMESPACES / namespace(ref)).exists():
            _ip("netns", "delete", namespace(ref))
        if not any(NAMESPACES.glob(f"{LAB}-*")) and (NAMESPACES / LAB).exists():
            processes.end_all(LAB, UPLINK_SECONDS)
            _ip("netns", "delete", LAB)
            if _has_link("", LINK):  # it goes with its other end, in the kernel's own time
                _ip("link", "delete", LINK, unless="Cannot find device")


def _hardware_address(address: str) -> str:
    """The same after every start: the machine and the other servers send to the one they know for up to a minute."""
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def resolv_conf(own: str) -> str:
    """What a server with its own network asks for names, from what the machine has."""
    return f"nameserver {NAMESERVER}\n" if shutil.which("slirp4netns") else own


@contextlib.contextmanager
def _held() -> Iterator[None]:
    folder = Path("/run/batchwright")
    make_private(folder)
    with alone(folder) as holder:
        os.set_inheritable(holder, True)  # by what `_run` starts: it holds on until it ends, even if this is killed
        yield


def _make_lab() -> None:
    _add_namespace(LAB)
    if not _has_link(LAB, BRIDGE):
        _ip("-n", LAB, "link", "add", BRIDGE, "type", "bridge")
    _ip("-n", LAB, "address", "replace", f"{GATEWAY}/{BITS}", "dev", BRIDGE)
    _ip("-n", LAB, "link", "set", BRIDGE, "up")
    if not _has_link("", LINK):
        _refuse_taken_range()
        _ip("link", "add", LINK, "type", "veth", "peer", "name", LINK_INSIDE, "netns", LAB)
    _ip("-n", LAB, "link", "set", LINK_INSIDE, "master", BRIDGE, "up")
    _ip("address", "replace", f"{MACHINE}/{BITS}", "dev", LINK)
    _ip("link", "set", LINK, "up")
    if shutil.which("slirp4netns") and not processes.started_for(LAB):
        _start_uplink()


def _refuse_taken_range() -> None:
    """The lab's addresses must not be a part of the machine's own networks."""
    route = _ip("route", "show", "root", RANGE)
    if route.strip():
        raise NoNetwork(f"this machine has a route of its own for {RANGE}: {route.strip()}")


def _start_uplink() -> None:
    inside = ("nsenter", f"--net={NAMESPACES / LAB}")
    if _has_link(LAB, UPLINK):
        _ip("-n", LAB, "link", "delete", UPLINK, unless="Cannot find device")
    line = ["slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path"]
    subprocess.Popen(  # noqa: S603 - our own line; a shell starts it as an orphan, as servers are
        ["/bin/sh", "-c", '"$@" &', "sh", *line, str(NAMESPACES / LAB), UPLINK],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=environment(LAB),
        start_new_session=True,
    ).wait()
    deadline = time.monotonic() + UPLINK_SECONDS
    while not _has_link(LAB, UPLINK):
        if time.monotonic() > deadline:
            raise NoNetwork("slirp4netns did not connect the lab to this machine's network")
        time.sleep(0.01)
    for setting in ("net.ipv4.ip_forward=1", f"net.ipv4.conf.{UPLINK}.proxy_arp=1"):
        name, _, value = setting.partition("=")
        path = "/proc/sys/" + name.replace(".", "/")
        _run([*inside, "sh", "-c", f"echo {value} > {path}"])


def _add_namespace(name: str) -> None:
    place = NAMESPACES / name
    if not os.path.ismount(place):  # pathlib knows only folders as mounts
        place.unlink(missing_ok=True)  # made half-way by one who was killed
        _ip("netns", "add", name)
    _ip("-n", name, "link", "set", "lo", "up")


def _has_link(name: str, link: str) -> bool:
    where = ("-n", name) if name else ()
    return subprocess.run(["ip", *where, "link", "show", link], capture_output=True, check=False).returncode == 0  # noqa: S603, S607


def _ip(*words: str, unless: str = "") -> str:
    return _run(["ip", *words], unless)


def _run(line: list[str], unless: str = "") -> str:
    environ = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environ, close_fds=False)  # noqa: S603
    if done.returncode != 0 and not (unless and unless in done.stderr):
        raise NoNetwork(f"{' '.join(line)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
