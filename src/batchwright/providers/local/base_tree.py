"""The base tree that all servers share: built once per user and machine, then never changed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from batchwright.durable_files import FolderHeld, alone, make_private
from batchwright.errors import NotAllowed, ProviderUnavailable
from batchwright.providers.local import addresses, base_tree_contents, host_apt_sources, records, sandbox
from batchwright.providers.local.host_support import this_machine
from batchwright.providers.local.sandbox_command import ONE_USER
from batchwright.providers.local.seccomp import one_user_filter
from batchwright.user_home import home

BUILD_SECONDS = 3600.0  # longest wait for another process that builds it
NEEDED_MB = 1024  # of disk, for the build

Tell = Callable[[str], None]


def cache(environ: Mapping[str, str]) -> Path:
    """Where base trees are kept: XDG_CACHE_HOME or ~/.cache."""
    xdg = environ.get("XDG_CACHE_HOME")
    base = Path(xdg) if xdg and Path(xdg).is_absolute() else home(environ) / ".cache"
    return base / "batchwright" / "base"


def this_release() -> base_tree_contents.Release:
    """This machine's distribution. Raises ProviderUnavailable."""
    try:
        found = base_tree_contents.release_of(Path("/etc/os-release").read_text())
    except OSError:
        found = None
    if found is None:
        raise ProviderUnavailable("local cannot find out which distribution this is", hint="It needs Debian or Ubuntu.")
    return found


def release_of(image: str) -> base_tree_contents.Release:
    """What a workflow calls so, "" for this machine's own. Raises ProviderUnavailable, NotAllowed."""
    known = {one.image: one for one in base_tree_contents.offered(this_release())}
    if image and image not in known:
        raise NotAllowed(f"there is no base system {image} here", hint=f"There are: {', '.join(known)}")
    return known[image] if image else this_release()


def place(environ: Mapping[str, str], release: base_tree_contents.Release | None = None) -> Path:
    """The base tree of a release, this machine's own by default, whether it has been built or not.

    Raises ProviderUnavailable.
    """
    return cache(environ) / base_tree_contents.tree_name(release or this_release(), platform.machine())


def build(environ: Mapping[str, str], tell: Tell, release: base_tree_contents.Release | None = None) -> Path:
    """Build it unless it is there. Raises ProviderUnavailable."""
    release = release or this_release()
    target = place(environ, release)
    if target.is_dir():
        return target
    program = shutil.which("mmdebstrap")
    if program is None:
        raise ProviderUnavailable(
            "the base tree needs mmdebstrap, which is not installed",
            hint="As root: apt-get install mmdebstrap",
        )
    try:
        make_private(target.parent)
        with alone(target.parent, BUILD_SECONDS) as holder:
            if target.is_dir():
                tell("another process has built it")
                return target
            fresh = target.with_name(f".new-{target.name}")
            remove_tree(fresh)  # leftovers of a killed build, which held the folder until its last process ended
            bootstrap(program, fresh, holder, tell, release)
            _finish(fresh)
            fresh.rename(target)
    except FolderHeld as error:
        raise ProviderUnavailable(str(error), hint="Wait for it, or stop it.") from error
    except OSError as error:
        raise ProviderUnavailable(f"the base tree cannot be built: {error}", hint="Fix this and try again.") from error
    return target


def bootstrap(program: str, fresh: Path, holder: int, tell: Tell, release: base_tree_contents.Release) -> None:
    """Run mmdebstrap in its own mount namespace, so that no mount remains however it ends.

    For a plain user it runs with that user's only id as root, which is also how the servers will run.
    """
    own = this_release()
    found = host_apt_sources.distribution_sources(dict(_apt_files()), own.codename)
    if not found:
        raise ProviderUnavailable(
            f"this machine's apt has no source for {own.codename}", hint="Fix /etc/apt/sources.list.d."
        )
    found = [host_apt_sources.for_release(source, own.codename, release.codename) for source in found]
    scratch = fresh.with_name(".build")
    remove_tree(scratch)
    scratch.mkdir(mode=0o700)
    listing = scratch / "sources.list"
    listing.write_text("".join(f"{source.line()}\n" for source in found))
    command = [
        *(("unshare", "--mount", "--") if os.geteuid() == 0 else _as_only_user(scratch)),
        *(program, "--mode=root", "--variant=apt", "--format=directory"),
        f"--include={','.join(base_tree_contents.PACKAGES)}",
        *(f"--aptopt={option}" for option in host_apt_sources.network_options(_apt_config(), os.environ)),
        *(() if os.geteuid() == 0 else _WITHOUT_DEVICES),
        *(f"--dpkgopt={option}" for option in base_tree_contents.DPKG_OPTIONS),
        "--skip=cleanup/apt",
        '--customize-hook=rm -f "$1"/var/cache/apt/archives/*.deb',
        '--customize-hook=chroot "$1" apt-cache gencaches',
        *(release.codename, str(fresh), str(listing)),
    ]
    said: list[str] = []
    with subprocess.Popen(  # noqa: S603 - our own line
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=(holder,),
        cwd="/",
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            said = [*said[-19:], line.rstrip()]
            if line.startswith(("I: running apt", "I: downloading", "I: extracting", "I: installing")):
                tell(line.removeprefix("I: ").rstrip())
    remove_tree(scratch)
    if running.returncode != 0:
        remove_tree(fresh)
        complaints = [line for line in said if line.startswith(("E:", "W:"))] or said[-3:]
        raise ProviderUnavailable(
            f"mmdebstrap could not build the base tree: {' '.join(complaints[-3:])}",
            hint="Check that apt-get update works on this machine.",
        )


_ONE_USER = 'APT::Sandbox::User "root";\n'
# A plain user cannot create device files: the machine's are mounted into the tree while it is built
_WITHOUT_DEVICES = (
    f"--aptopt={_ONE_USER.strip()}",
    "--skip=chroot/mount/dev,chroot/mount/sys",
    '--setup-hook=mkdir -p "$1"/dev/shm; for d in null zero full random urandom tty; do touch "$1"/dev/$d; '
    'mount --bind /dev/$d "$1"/dev/$d; done',
)


def _as_only_user(scratch: Path) -> list[str]:
    """The command prefix that makes a plain user root in a user namespace with one id."""
    seccomp, apt = scratch / "filter.bpf", scratch / "apt.conf"
    seccomp.write_bytes(one_user_filter(platform.machine()))
    apt.write_text(_ONE_USER)
    inside = [
        *(this_machine().tools.bwrap, *ONE_USER, "--dev-bind", "/", "/", "--proc", "/proc"),
        *(
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--die-with-parent",
            "--setenv",
            "APT_CONFIG",
            str(apt),
            "--",
        ),
    ]
    return ["/bin/sh", "-c", 'exec "$@" 4<"$0"', str(seccomp), *inside]


def _apt_files() -> Iterator[tuple[str, str]]:
    top = Path("/etc/apt")
    for path in [top / "sources.list", *sorted((top / "sources.list.d").glob("*"))]:
        if path.suffix in (".list", ".sources") and path.is_file():
            yield path.name, path.read_text(errors="replace")


def _apt_config() -> str:
    program = shutil.which("apt-config")
    if program is None:
        return ""
    done = subprocess.run([program, "dump", "Acquire"], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout


def _finish(fresh: Path) -> None:
    """Remove what servers must not share, and disable what a sandbox must not do."""
    for key in (fresh / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (fresh / "etc/machine-id").write_text("")
    units = fresh / "etc/systemd/system"
    for unit in base_tree_contents.MASKED:
        link = units / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    policy = fresh / "usr/sbin/policy-rc.d"
    policy.write_text(base_tree_contents.POLICY)
    policy.chmod(0o755)
    (fresh / "etc/apt/apt.conf.d/90batchwright").write_text(base_tree_contents.APT)
    (fresh / "var/cache/apt/pkgcache.bin").unlink(missing_ok=True)
    for name in ("tmp", "var/tmp"):
        (fresh / name).chmod(0o1777)


def remove_tree(folder: Path) -> None:
    """Remove a tree if it is there."""
    if folder.exists():
        sandbox.remove_entry(folder)


def size(place: Path) -> int:
    """The bytes that the tree uses on disk."""
    return sum((Path(folder) / name).lstat().st_blocks * 512 for folder, _, names in os.walk(place) for name in names)


def users(name: str) -> list[str]:
    """The folders of all servers of this user that use a base tree, in any state folder.

    A server whose record cannot be read, as one of a newer version, may use it, so it counts.
    """
    found = []
    for folder in sorted(set(addresses.claimed().values())):
        try:
            intent = records.read_intent(Path(folder))
        except (records.Damaged, OSError):
            found.append(folder)
            continue
        if intent is not None and intent.request.resolved.get("base") == name:
            found.append(folder)
    return found


def remove(environ: Mapping[str, str], release: base_tree_contents.Release | None = None) -> None:
    """Remove a base tree. Raises NotAllowed while servers lie over it, ProviderUnavailable."""
    target = place(environ, release)
    if not target.is_dir():
        return
    with alone(target.parent):
        over = users(target.name)
        if over:
            raise NotAllowed(
                f"{len(over)} {'server uses' if len(over) == 1 else 'servers use'} {target.name}: {over[0]}",
                hint="Destroy them first: roll back the runs that made them.",
            )
        going = target.with_name(f".old-{target.name}")
        remove_tree(going)
        target.rename(going)  # a create that starts now finds no tree instead of half of one
        remove_tree(going)
