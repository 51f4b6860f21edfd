"""Builds and runs containers with the distribution's buildah and podman, as root, in storage of the test's own."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.needs import missing, tool
from tests.support.wheelhouse import ROOT, fetch_wheels

TOOLS = "scripts/tools.sh"
UNIFIED = Path("/sys/fs/cgroup/unified")  # crun refuses machines with both kinds of cgroups


class ContainerEngine:
    """Podman in a mount namespace of its own, held by a process that ends with the test.

    Containers run without cgroups and without networks, as they can be made on a machine that is a container itself.
    """

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0:
            missing("only root can build and run containers here")
        for needed in ("buildah", "podman", "crun"):
            tool(needed, TOOLS)
        self.folder = folder
        driver = ["--storage-driver", "overlay"]
        self.storage = ["--root", str(folder / "storage"), "--runroot", str(folder / "running"), *driver]
        leave = f"umount {UNIFIED} && " if UNIFIED.is_mount() else ""
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", f"{leave}echo held && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "held\n"

    def close(self) -> None:
        """Remove all containers and images."""
        self.podman("rm", "--all", "--force", code=None)
        self.podman("rmi", "--all", "--force", code=None)
        assert self._holder.stdin is not None
        self._holder.communicate("")

    def command(self, program: str, *words: str) -> list[str]:
        """A command line of podman or buildah in this storage."""
        inside = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--", program, *self.storage]
        own = ["--cgroup-manager", "cgroupfs", "--events-backend", "file"] if program == "podman" else []
        return [*inside, *own, *words]

    def podman(self, *words: str, code: int | None = 0) -> str:
        """What it prints. `code` is the exit code that is expected, None for any."""
        done = subprocess.run(self.command("podman", *words), capture_output=True, text=True, timeout=300, check=False)
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run_options(self) -> list[str]:
        """Options of `run` with which a container starts here: its limits may not be higher than ours."""
        limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
        hard = {name: min(4096, resource.getrlimit(which)[1] % 2**31) for name, which in limits.items()}
        return [
            "--cgroups=disabled",
            "--network=none",
            *(f"--ulimit={name}={most}:{most}" for name, most in hard.items()),
        ]

    def base_image(self, tag: str) -> None:
        """An image of this machine's distribution with Python: no registry has to be reached."""
        tool("mmdebstrap", "scripts/local.sh")
        tree = self.folder / "base.tar"
        release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        make = ["mmdebstrap", "--mode=root", "--variant=minbase", "--include=python3,python3-venv,ca-certificates"]
        subprocess.run(
            ["unshare", "--mount", *make, release["VERSION_CODENAME"], tree], check=True, capture_output=True
        )
        self.podman("import", str(tree), tag)
        tree.unlink()

    def batchwright_image(self, tag: str, base: str) -> None:
        """The image of deploy/Containerfile, from packages that were fetched before: the build needs no network."""
        wheels = self.folder / "wheels"
        fetch_wheels(wheels, self.podman("run", "--rm", *self.run_options(), base, "python3", "-c", VERSION).strip())
        options = ["--isolation=chroot", "--format=docker", "--build-arg", f"BASE={base}", "-t", tag]
        options += ["--volume", f"{wheels}:/wheels:ro", "--build-arg", "PIP_OPTIONS=--no-index --find-links=/wheels"]
        builder = " ".join(self.command("buildah"))
        subprocess.run(
            ["scripts/image.sh", str(Path(sys.executable).parent), *options],
            cwd=ROOT, env={**os.environ, "BUILDER": builder}, check=True,
        )  # fmt: skip


VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


@contextmanager
def container_engine(folder: Path) -> Iterator[ContainerEngine]:
    """Podman and buildah in storage of their own, which is removed."""
    engine = ContainerEngine(folder)
    try:
        yield engine
    finally:
        engine.close()
        shutil.rmtree(folder)
