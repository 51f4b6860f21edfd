"""What a base tree consists of: packages, and what is changed in it before any server is made over it. Pure."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

PACKAGES = (
    *("ca-certificates", "curl", "dbus", "dropbear-bin", "gnupg", "iproute2", "iptables", "kmod", "netbase"),
    *("openssh-server", "procps", "python3", "python3-apt", "systemd-sysv"),  # Python is what Ansible needs
)
# What a sandbox has no use for, or would do to the machine under it
MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("console-getty.service", "getty@.service", "getty.target", "remote-fs.target", "systemd-remount-fs.service"),
    *("systemd-logind.service", "systemd-udevd.service", "systemd-networkd.service", "systemd-resolved.service"),
    *("systemd-timesyncd.service", "systemd-modules-load.service", "modprobe@.service", "kmod-static-nodes.service"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount", "dev-hugepages.mount"),
    *("dev-mqueue.mount", "proc-sys-fs-binfmt_misc.automount", "systemd-sysctl.service"),
)
DPKG_OPTIONS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "force-unsafe-io",  # a server that the machine's death destroys is made again
)
# A package's service is started by whoever has configured it: servers that share a network share its ports. Only starts
# are denied: a package that is removed must be able to stop its service.
POLICY = '#!/bin/sh\ncase "$2" in *start*) exit 101 ;; esac\nexit 0\n'
APT = """\
Dir::Cache::pkgcache "";
APT::Keep-Downloaded-Packages "false";
"""  # what would take 40 MB on every server
REVISION = 1  # of what is done to a tree beside the lists above


class Release(Struct, frozen=True):
    """A distribution: this machine's, or one of its servers."""

    distribution: str
    version: str
    codename: str

    @property
    def image(self) -> str:
        """What a workflow calls it."""
        return f"{self.distribution}-{self.version}"


DEBIAN = (Release("debian", "12", "bookworm"), Release("debian", "13", "trixie"))


def offered(own: Release) -> tuple[Release, ...]:
    """What servers on such a machine may have, its own release first. Package sources have all releases of Debian."""
    return (own, *(one for one in DEBIAN if one.distribution == own.distribution and one.version != own.version))


def release_of(os_release: str) -> Release | None:
    """From the text of /etc/os-release (os-release(5)); None where it does not say."""
    pairs = (line.partition("=")[::2] for line in os_release.splitlines() if "=" in line)
    fields = {name.strip(): value.strip().strip("\"'") for name, value in pairs}
    if not fields.get("VERSION_CODENAME"):
        return None
    return Release(fields.get("ID", "linux"), fields.get("VERSION_ID", "0"), fields["VERSION_CODENAME"])


def tree_name(release: Release, architecture: str) -> str:
    """A base tree's folder: another name whenever another tree would come of it."""
    recipe = [release, architecture, PACKAGES, MASKED, DPKG_OPTIONS, POLICY, APT, REVISION]
    digest = hashlib.sha256(msgspec.json.encode(recipe)).hexdigest()
    return f"{release.codename}-{digest[:10]}"
