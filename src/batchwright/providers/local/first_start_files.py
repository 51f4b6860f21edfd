"""The files that a server gets before its first start, over the base tree. Pure; `plant` writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from batchwright.providers.local.boot_status import READY_UNIT, SCRIPT_UNIT, SSH_UNIT
from batchwright.providers.local.records import READY, SAID, SYSTEM, Intent

SCRIPT = "/var/lib/batchwright/user-data"
INSIDE = "/run/batchwright"  # the folder `told`, as the server sees it

# `ready` holds nothing but what the service manager says of units, `said` nothing but what the script printed. It comes
# last, by renaming: as long as it is not there, nothing is known.
_SAY = f"tail -c 8192 {SCRIPT}.log > {INSIDE}/{SAID} 2>/dev/null"
_READY = f"""\
[Unit]
Description=Says that the boot has ended
After=multi-user.target
StartLimitIntervalSec=0
[Service]
Type=exec
Restart=on-failure
RestartSec=1
ExecStart=/bin/sh -c 'systemctl is-system-running --wait > /dev/null; {_SAY}; \
systemctl show -p Id -p ActiveState {SCRIPT_UNIT} {SSH_UNIT} > {INSIDE}/new && mv {INSIDE}/new {INSIDE}/{READY}'
[Install]
WantedBy=multi-user.target
"""

_USER_DATA = f"""\
[Unit]
Description=The server's user_data, once
ConditionPathExists=!{SCRIPT}.done
After=network.target ssh.service
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart={SCRIPT}
ExecStartPost=/bin/touch {SCRIPT}.done
StandardOutput=append:{SCRIPT}.log
StandardError=append:{SCRIPT}.log
[Install]
WantedBy=multi-user.target
"""

_SSHD = """\
ListenAddress {address}
Port {port}
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
UseDNS no
"""


FIRST_PROGRAM = "/var/lib/batchwright/first"  # of a server without a service manager
_SKIPPED = "*dbus|*kmod|*procps|*ssh|*udev"

_FIRST = f"""\
umask 022
mkdir -p /run/lock /run/sshd /etc/dropbear
dropbearconvert openssh dropbear /etc/ssh/ssh_host_ed25519_key /etc/dropbear/host_key 2>/dev/null
for service in /etc/rc2.d/S*; do
    case "$service" in {_SKIPPED}) continue ;; esac
    [ -x "$service" ] && "$service" start </dev/null >/dev/null 2>&1
done
state=inactive
if [ -x {SCRIPT} ] && [ ! -e {SCRIPT}.done ]; then
    if {SCRIPT} </dev/null >>{SCRIPT}.log 2>&1; then touch {SCRIPT}.done; else state=failed; fi
fi
{_SAY}
printf 'Id=%s\\nActiveState=%s\\n' {SCRIPT_UNIT} "$state" > {INSIDE}/new && mv {INSIDE}/new {INSIDE}/{READY}
exec dropbear -F -E -s -m -r /etc/dropbear/host_key -p {{address}}:{{port}}
"""


class FirstStartFile(Struct, frozen=True):
    """A file, or with `link` a symbolic link."""

    content: str = ""
    mode: int = 0o644
    link: str = ""


def seeds(intent: Intent, keys: tuple[str, ...], host_key: str, resolv_conf: str) -> dict[str, FirstStartFile]:
    """Every file by its path inside, without the first slash. `keys` may log in as root."""
    found = {
        "etc/hostname": FirstStartFile(f"{intent.request.name}\n"),
        "etc/hosts": FirstStartFile(f"127.0.0.1 localhost\n{intent.address} {intent.request.name}\n"),
        "etc/resolv.conf": FirstStartFile(resolv_conf),
        "etc/ssh/ssh_host_ed25519_key": FirstStartFile(host_key, 0o600),
        "root/.ssh/authorized_keys": FirstStartFile("".join(f"{key.strip()}\n" for key in keys), 0o600),
    }
    if intent.request.user_data:
        found[SCRIPT.lstrip("/")] = FirstStartFile(intent.request.user_data, 0o700)
    return found | (_system_seeds(intent) if intent.mode == SYSTEM else _user_seeds(intent))


def _system_seeds(intent: Intent) -> dict[str, FirstStartFile]:
    """The files for a server with a service manager."""
    units, wants = "etc/systemd/system", "etc/systemd/system/multi-user.target.wants"
    listen = "0.0.0.0" if intent.own_network else intent.address  # noqa: S104 - its own network's
    found = {
        "etc/machine-id": FirstStartFile(hashlib.sha256(intent.ref.encode()).hexdigest()[:32] + "\n", 0o444),
        SSHD_CONFIG: FirstStartFile(_SSHD.format(address=listen, port=intent.port)),
        f"{units}/{READY_UNIT}": FirstStartFile(_READY),
        f"{wants}/{READY_UNIT}": FirstStartFile(link=f"/{units}/{READY_UNIT}"),
    }
    if intent.request.user_data:
        found[f"{units}/{SCRIPT_UNIT}"] = FirstStartFile(_USER_DATA)
        found[f"{wants}/{SCRIPT_UNIT}"] = FirstStartFile(link=f"/{units}/{SCRIPT_UNIT}")
    return found


def _user_seeds(intent: Intent) -> dict[str, FirstStartFile]:
    """The files for a server whose first program starts everything."""
    return {FIRST_PROGRAM.lstrip("/"): FirstStartFile(_FIRST.format(address=intent.address, port=intent.port), 0o755)}


PRIVATE = ("root", "root/.ssh")  # folders that are for their owner only
SSHD_CONFIG = "etc/ssh/sshd_config.d/10-batchwright.conf"
# What may have changed since the last start
READY_FILE = f"etc/systemd/system/{READY_UNIT}"
EVERY_START = ("etc/resolv.conf", SSHD_CONFIG, READY_FILE, FIRST_PROGRAM.lstrip("/"))


def plant(upper: Path, files: Mapping[str, FirstStartFile]) -> None:
    """Write them below `upper`, where they cover what the base tree has. Raises OSError."""
    for name, seed in files.items():
        path = upper / name
        for folder in reversed(path.relative_to(upper).parents):
            (upper / folder).mkdir(exist_ok=True)
            (upper / folder).chmod(0o700 if str(folder) in PRIVATE else 0o755)
        path.unlink(missing_ok=True)
        if seed.link:
            path.symlink_to(seed.link)
        else:
            path.write_text(seed.content)
            path.chmod(seed.mode)
