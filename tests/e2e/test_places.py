"""A driver without credentials and a worker that has them: the real commands, over Temporal, on an emulated UpCloud."""

from __future__ import annotations

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.command_line import COMMAND, PATIENCE, Done, environment, impatient, run_in_process
from tests.support.emulated import Running

from batchwright.app.backing_services import TemporalConfig
from batchwright.cli.exit_codes import Exit
from batchwright.emulators.upcloud import UpCloudBehaviour
from batchwright.fleet import temporal_carrier

UPCLOUD = "settle_seconds = 1.0\npoll_seconds = 0.2\nrate = 0\nconcurrency = 12\nexclusive = true\n"
ALL = f"""[upcloud]
{UPCLOUD}
[place]
commands = ["/bin/echo", "/bin/sh"]
variables = ["WHOSE", "KEY"]
[place.providers]
upcloud = ["*"]
[place.secrets]
env = ["AT_PLACE"]
"""


class Site:
    """A driver's home and a worker's, and the cloud that only the worker has credentials for."""

    def __init__(self, folder: Path, temporal: TemporalConfig, cloud: Running) -> None:
        self.folder, self.temporal, self.cloud = folder, temporal, cloud
        self.table = f'[temporal]\naddress = "{temporal.address}"\nqueue = "{temporal.queue}"\n'
        self.here(f'{self.table}[upcloud]\nat = "far"\n')
        self.workers: list[subprocess.Popen[str]] = []

    def here(self, config: str) -> None:
        """The driver's config.toml."""
        self._write("here", config)

    def _write(self, home: str, config: str) -> None:
        place = self.folder / home / ".config/batchwright/config.toml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(config)

    def run(self, *words: str) -> Done:
        """A command of the driver, which has no credentials."""
        return run_in_process(words, environment(self.folder / "here"), self.folder)

    def begin(self, config: str = ALL) -> subprocess.Popen[str]:
        """A worker that takes calls when this returns."""
        self._write("there", self.table + config)
        with (self.folder / "worker.log").open("a") as log:
            worker = subprocess.Popen(
                [*COMMAND, "worker", "--place", "far"],
                env=environment(self.folder / "there", AT_PLACE="s3cr3t-of-the-place", **self.cloud.environ),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.workers.append(worker)
        assert worker.stdout is not None
        assert "far" in worker.stdout.readline(), (self.folder / "worker.log").read_text()
        return worker

    def kill(self, worker: subprocess.Popen[str]) -> None:
        """SIGKILL, and its end."""
        worker.kill()
        worker.communicate(timeout=PATIENCE)

    def flow(self, *operations: dict[str, object], count: int = 2, **more: object) -> Path:
        """A workflow of some servers at UpCloud, and more operations."""
        configs = [{"name": f"far-{i:02d}", "plan": "1xCPU-2GB", "zone": "de-fra1"} for i in range(count)]
        retry = {"max_attempts": 15, "initial_delay": 0.1, "max_delay": 0.5}
        up = {"id": "up", "type": "server_batch", "provider": "upcloud", "server_configs": configs, "retry": retry}
        about = {"name": "far", "version": "1", "operations": [up, *operations], **more}
        file = self.folder / "flow.json"
        file.write_text(json.dumps({"batch_workflow": about}))
        return file

    def servers(self) -> Counter[str]:
        """What is really there."""
        return Counter(one["title"] for one in self.cloud.emulator.account.summary()["servers"])


@contextmanager
def site(folder: Path, temporal: TemporalConfig, behaviour: UpCloudBehaviour | None = None) -> Iterator[Site]:
    """A site, whose workers end with it."""
    with Running(behaviour or UpCloudBehaviour(boot_seconds=0.2, stop_seconds=0.1)) as cloud:
        made = Site(folder, temporal, cloud)
        try:
            yield made
        finally:
            for worker in made.workers:
                if worker.poll() is None:
                    made.kill(worker)


def test_what_only_the_place_can_do_is_done_there(
    tmp_path: Path, temporal: TemporalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    with site(tmp_path, temporal) as far:
        words = ["/bin/sh", "-c", 'echo "by $WHOSE $KEY"; echo "where=$(pwd)" >> $BATCHWRIGHT_OUTPUTS']
        env = {"WHOSE": "me", "KEY": {"env": "AT_PLACE"}}
        command = {"id": "told", "type": "command", "run": words, "env": env, "at": "far", "directory": "/"}
        file = far.flow({**command, "outputs": ["where"], "dependencies": ["up"]})
        nobody = far.run("plan", str(file))
        assert nobody.returncode != 0
        assert "no worker is at far" in nobody.stderr + nobody.stdout
        worker = far.begin()
        offers = {one["name"]: one for one in json.loads(far.run("providers", "--json").stdout)["providers"]}
        assert offers["upcloud"]["capabilities"]["at"] == "far", offers["upcloud"]
        here = far.run("providers", "verify", "upcloud")
        assert (here.returncode, "upcloud is called from far" in here.stderr) == (Exit.COULD_NOT, True)
        rehearsed = far.run("rehearse", str(file), "--at", "up/far-00 create:capacity", "--json")
        assert "providers" in rehearsed.stdout, rehearsed.stdout + rehearsed.stderr
        promised = json.loads(rehearsed.stdout)["providers"]["upcloud"]
        assert f"settles in {offers['upcloud']['capabilities']['settle_seconds']:g} s" in promised
        planned = far.run("plan", str(file))
        assert planned.returncode == 0, planned.stderr
        assert "upcloud at far: create 2" in planned.stdout
        assert "at far: in /" in planned.stdout
        done = far.run("run", str(file))
        assert done.returncode == 0, done.stderr + done.stdout
        assert far.servers() == Counter({"far-00": 1, "far-01": 1})
        logs = far.run("logs", "latest", "told").stdout
        assert "by me" in logs
        assert "s3cr3t" not in logs
        gone = far.run("rollback", "latest", "--yes")
        assert gone.returncode == 0, gone.stderr + gone.stdout
        assert far.servers() == Counter()
        far.kill(worker)


@pytest.mark.parametrize(("kills", "servers"), [(1, 3), pytest.param(12, 40, marks=pytest.mark.long)])
def test_a_worker_killed_in_the_midst_of_creates_leaves_no_duplicate_and_no_orphan(
    kills: int, servers: int, tmp_path: Path, temporal: TemporalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cloud has the create and has not answered yet when the worker dies; another worker settles it."""
    monkeypatch.setattr(temporal_carrier, "HEARTBEAT_SECONDS", 4.0)
    slow = UpCloudBehaviour(boot_seconds=0.2, stop_seconds=0.1, answer_seconds=0.3)
    with site(tmp_path, temporal, slow) as far:
        file = far.flow(count=servers, parallel_limit=3)
        far.begin()
        happened, killed, over = far.cloud.emulator.account.happened, list[int](), threading.Event()

        def kill() -> None:
            for number in range(kills):
                wanted = happened["POST /server"] + 1 + number % 3
                while happened["POST /server"] < wanted and not over.wait(0.005):  # until creates are under way
                    pass
                if over.is_set():
                    return
                far.kill(far.workers[-1])
                killed.append(happened["POST /server"])
                far.begin()

        killer = threading.Thread(target=kill)
        killer.start()
        done = far.run("run", str(file))
        over.set()
        killer.join(PATIENCE)
        assert len(killed) == kills
        assert done.returncode == 0, done.stderr + done.stdout
        assert far.servers() == Counter(f"far-{i:02d}" for i in range(servers))
        assert far.run("rollback", "latest", "--yes").returncode == 0
        assert far.servers() == Counter()
        assert far.cloud.emulator.account.summary()["disks"] == []
