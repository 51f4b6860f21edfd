"""One server's sandbox: start, look, stop, remove. Everything here blocks and is called from a thread.

Every change of a server holds the lock of its folder. A process that is killed between starting a sandbox and recording
its process id leaves it to be found by the marker in its environment, and by its control groups.
"""

from __future__ import annotations

import os
import platform
import select
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import msgspec

from batchwright import durable_files
from batchwright.printable import printable, shortened
from batchwright.providers.generated_ssh_keys import key_in
from batchwright.providers.local import (
    boot_status,
    cgroup_bpf,
    cgroups,
    first_start_files,
    network,
    processes,
    records,
    sandbox_command,
)
from batchwright.providers.local.records import SYSTEM, Intent, Process
from batchwright.providers.local.seccomp import MACHINES, one_user_filter, system_filter

START_SECONDS = 20.0  # until a sandbox must have said which process it is
STOP_SECONDS = 10.0  # that a service manager may take to end what runs
TAIL_BYTES, TAIL_LINES = 8192, 5


class NotStarted(Exception):
    """The sandbox could not be made; nothing of it runs."""


def running(folder: Path, ref: str) -> int | None:
    """The first process inside, if it lives."""
    try:
        process = records.decode_process((folder / records.PROCESS).read_bytes())
    except FileNotFoundError:
        return None
    return process.pid if process is not None and processes.belongs_to(process.pid, ref) else None


def prepare(folder: Path, intent: Intent, keys: tuple[str, ...]) -> None:
    """Bring the folder to where the sandbox can be started; may be done again. Raises OSError."""
    upper = folder / records.UPPER
    first = not (folder / records.PLANTED).exists()
    for name in (records.UPPER, records.WORK, records.TOLD, *sandbox_command.REAL_FOLDERS):
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(0o755)
    host_key = key_in(folder / records.IDENTITY).path.read_text()
    names = network.resolv_conf(_resolv_conf()) if intent.own_network else _resolv_conf()
    files = first_start_files.seeds(intent, keys, host_key, names)
    first_start_files.plant(
        upper, files if first else {name: files[name] for name in first_start_files.EVERY_START if name in files}
    )
    (folder / records.PLANTED).touch()
    (folder / records.CONSOLE).write_bytes(b"")
    for name in (records.READY, records.SAID):
        (folder / records.TOLD / name).unlink(missing_ok=True)


def _resolv_conf() -> str:
    try:
        return Path("/etc/resolv.conf").read_text()
    except OSError:
        return ""


def start(folder: Path, intent: Intent, base: Path, tools: sandbox_command.Tools, holder: int) -> int:
    """Start a prepared sandbox and write down its first process, unless it runs. Raises NotStarted, OSError.

    `holder` is the descriptor that holds the folder: the launcher inherits it, so that a killed caller's launcher ends
    before anybody else looks.
    """
    if (pid := running(folder, intent.ref)) is not None:
        return pid
    end(intent)  # what a killed caller may have left half-started
    line_of = _system_line if intent.mode == SYSTEM else _user_line
    line = line_of(folder, intent, base, tools)
    try:
        pid = _launch(line, folder, intent.ref, holder)
    except NotStarted:
        end(intent)
        raise
    monitor = processes.parent_of(pid)
    if intent.mode == SYSTEM and monitor is not None and processes.belongs_to(monitor, intent.ref):
        cgroups.set_aside(cgroups.here(), intent.ref, monitor)
    durable_files.write(folder / records.PROCESS, records.encode(Process(pid)))
    return pid


def _system_line(folder: Path, intent: Intent, base: Path, tools: sandbox_command.Tools) -> list[str]:
    """Make what it needs of the machine; gives the line that starts it."""
    found = cgroups.here()
    groups = cgroups.make(found, intent.ref, int(intent.request.resolved["memory_mb"]))
    if not cgroup_bpf.refusal():
        for group in [cgroups.group_of(one, intent.ref) for one in found if one.version == 2][:1]:
            cgroup_bpf.attach(group, own_network=intent.own_network)
    seccomp: Path | None = folder / records.FILTER
    if seccomp is not None and platform.machine() in MACHINES:
        containers_need_bpf = not any("devices" in one.controllers for one in found)
        seccomp.write_bytes(system_filter(platform.machine(), bpf=containers_need_bpf))
    else:
        seccomp = None
    places = [(group, hierarchy.path) for group, hierarchy in zip(groups, found, strict=True)]
    netns = ""
    if intent.own_network:
        network.attach(intent.ref, intent.address)
        netns = network.path_of(intent.ref)
    line = sandbox_command.system_command(
        tools, base, folder, intent.request.name, places, netns, filtered=seccomp is not None
    )
    return sandbox_command.launcher(line, groups, seccomp)


def _user_line(folder: Path, intent: Intent, base: Path, tools: sandbox_command.Tools) -> list[str]:
    seccomp = folder / records.FILTER
    seccomp.write_bytes(one_user_filter(platform.machine()))
    return sandbox_command.launcher(
        sandbox_command.user_command(tools, base, folder, intent.request.name), seccomp=seccomp
    )


def _launch(line: list[str], folder: Path, ref: str, holder: int) -> int:
    reader, writer = os.pipe()
    try:
        with (folder / records.CONSOLE).open("ab") as console:
            launched = subprocess.Popen(  # noqa: S603 - our own line, without a shell but the launcher
                line,
                stdin=holder,
                stdout=writer,
                stderr=console,
                cwd="/",
                env=sandbox_command.environment(ref),
                start_new_session=True,
            )
        os.close(writer)
        writer = -1
        launched.wait()
        said = _read_all(reader, time.monotonic() + START_SECONDS)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    try:
        pid = int(msgspec.json.decode(said)["child-pid"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        raise NotStarted("; ".join(tail(folder)) or "bubblewrap printed nothing") from None
    return pid


def _read_all(reader: int, until: float) -> bytes:
    """Everything until the last writer has closed, or the time is over."""
    said = b""
    while select.select([reader], [], [], max(0.0, until - time.monotonic()))[0]:
        block = os.read(reader, 4096)
        if not block:
            break
        said += block
    return said


def end(intent: Intent) -> bool:
    """Kill everything of a server; remove its control groups and network. False if something would not go in time."""
    if not processes.end_all(intent.ref, cgroups.EMPTY_SECONDS) or not cgroups.remove(cgroups.here(), intent.ref):
        return False
    if intent.own_network:
        network.detach(intent.ref)
    return True


def stop(folder: Path, intent: Intent) -> bool:
    """Shut the server down, then kill what remains."""
    pid = running(folder, intent.ref)
    if pid is not None:
        if intent.mode == SYSTEM:
            processes.kill(pid, signal.SIGRTMIN + 4)  # poweroff, see systemd(1)
        else:
            for other in processes.beside(pid):  # the first one ends with the last of them
                processes.kill(other, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while running(folder, intent.ref) is not None and time.monotonic() < deadline:
            time.sleep(0.02)
    return end(intent)


def remove(folder: Path) -> None:
    """Remove a server's folder, the intent last: while it exists, the server still has to be destroyed."""
    last = (records.INTENT, records.DESTROYING)
    for entry in sorted(folder.iterdir()):
        if entry.name not in last:
            remove_entry(entry)
    for name in last:
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()


def remove_entry(entry: Path) -> None:
    """Remove a file, or a folder with everything in it."""
    if stat.S_ISDIR(entry.lstat().st_mode):
        if os.geteuid() != 0:
            _make_removable(entry)
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _make_removable(top: Path) -> None:
    """Give a plain user the permissions to empty and remove its own folders."""
    top.chmod(0o700)
    for place, folders, _ in os.walk(top):
        for name in folders:
            inner = Path(place) / name
            if not inner.is_symlink():
                inner.chmod(0o700)


def tail(folder: Path) -> list[str]:
    """The last lines of what the server's service manager and the sandbox said."""
    lines = last_lines(_read(folder / records.CONSOLE, TAIL_BYTES, end=True))
    return [shortened(printable(line), boot_status.LINE_MAX) for line in lines]


def note(folder: Path, line: str) -> None:
    """Write a line into the server's log, which belongs to us and not to the server. Raises OSError."""
    with (folder / records.CONSOLE).open("a") as console:
        console.write(f"batchwright: {line}\n")


def states(folder: Path) -> dict[str, str] | None:
    """The states of the units that matter, when the server's boot had ended; None while it has not."""
    content = _read(folder / records.TOLD / records.READY, boot_status.STATES_BYTES)
    return boot_status.states(content) if content else None


def said(folder: Path) -> list[str]:
    """The last lines that its user_data printed."""
    return boot_status.last_said(_read(folder / records.TOLD / records.SAID, TAIL_BYTES, end=True))


def _read(path: Path, most: int, *, end: bool = False) -> str:
    """The beginning or the end of a file that a server can write: no link is followed, and not all is read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return ""
        return os.pread(descriptor, most, max(0, found.st_size - most) if end else 0).decode(errors="replace")
    finally:
        os.close(descriptor)


def last_lines(text: str) -> list[str]:
    """The last lines that say something, without the kernel's level in front. Pure."""
    lines = [line.strip("\0 \r") for line in text.splitlines()]
    bare = [line.partition(">")[2] if line.startswith("<") else line for line in lines]
    return [line for line in bare if line][-TAIL_LINES:]
