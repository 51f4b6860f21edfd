"""Pictures of the page: python scripts/screenshots.py [WORD...] writes those whose names have one of the words, or all.

They show simulated runs of 1, 12, 1,000 and 10,000 steps in every state, at three widths and in both colour schemes.
Playwright and Chromium come with the set-up of the tests. The folder screenshots/ is made anew for what is asked for.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from playwright.sync_api import Page, sync_playwright

FOLDER = Path("screenshots")
WIDTHS = {360: 780, 1024: 768, 1600: 1000}
SCHEMES = ("light", "dark")
REGIONS = ("fra", "hel", "nyc", "sgp")
PATIENCE = 120.0  # seconds until a run has got as far as a picture needs
VIEWS = {
    "whole": "",
    "graph": "?p=g&whole=1",
    "timeline": "?p=t&top=t",
    "list": "?p=g&ops=list",
    "operations": "?p=g&ops=all&order=operation",
}
LARGE = {f"run-{steps}-{word}": query for word, query in VIEWS.items() for steps in (10000, 1000)}
LARGE |= {"run-1000-steps": "?p=g&op=servers_hel&open=servers_hel", "run-10000-group": "?p=g&in=servers_*%20(32)"}
QUICK = {"answer_seconds": "0.05", "boot_seconds": "0.1", "install_seconds": "0.05", "destroy_seconds": "0.05"}
SLOW = {"answer_seconds": "0.3", "boot_seconds": "1", "install_seconds": "9", "transient": "0.03", "concurrency": "300"}


def servers(name: str, count: int, *needs: Any, **more: Any) -> dict[str, Any]:
    """Some servers, in three zones."""
    word = name.replace("_", "-")
    configs = [{"name": f"{word}-{n + 1}", "plan": "small", "zone": f"zone-{'abc'[n % 3]}"} for n in range(count)]
    rest = {"provider": "simulated", "dependencies": list(needs), "server_configs": configs, **more}
    return {"id": name, "type": "server_batch", **rest}


def services(name: str, taskserv: str, on: str, *needs: str, **more: Any) -> dict[str, Any]:
    """One task service on the servers of an operation, on each as soon as the server is there."""
    waits = [{"id": one, "per": "server"} for one in needs or [on]]
    rest = {"provider": "simulated", "dependencies": waits, "taskservs": [taskserv], "targets": [on], **more}
    return {"id": name, "type": "taskserv_batch", **rest}


def workflow(name: str, *operations: Mapping[str, Any], parallel_limit: int = 8) -> dict[str, Any]:
    """A workflow file. Its servers are named after it, for all of them lie in one simulated place."""
    for server in (one for operation in operations for one in operation.get("server_configs", ())):
        server["name"] = f"{name}-{server['name']}"
    rest = {"storage_backend": "filesystem", "rollback_enabled": True, "parallel_limit": parallel_limit}
    return {"batch_workflow": {"name": name, "version": "1.4.0", **rest, "operations": list(operations)}}


def twelve(name: str, *, asks: bool = False) -> dict[str, Any]:
    """Four servers and what is installed on them."""
    question = {"id": "promote", "type": "approval", "ask": "Is the database well?", "dependencies": ["database"]}
    before = ["promote"] if asks else ["database"]
    return workflow(
        name,
        *(servers("db", 1), services("database", "postgresql", "db"), *([question] if asks else [])),
        *(servers("web", 3, *before), services("runtime", "containerd", "web")),
        services("site", "nginx", "web", "runtime"),
    )


def regions(name: str, count: int, places: Sequence[str], parallel_limit: int) -> dict[str, Any]:
    """Servers in many places, each with a runtime and a site; a database that all of them need."""
    inner: list[Mapping[str, Any]] = [servers("db", 1), services("database", "postgresql", "db")]
    for place in places:
        inner += [
            servers(f"servers_{place}", count, "database"),
            services(f"runtime_{place}", "containerd", f"servers_{place}"),
            services(f"site_{place}", "nginx", f"servers_{place}", f"runtime_{place}"),
        ]
    return workflow(name, *inner, parallel_limit=parallel_limit)


class Service:
    """A service with simulated places, in a folder of its own."""

    def __init__(self, home: Path, *options: str) -> None:
        self._home, self._options, self.url = home, options, ""

    @contextlib.contextmanager
    def running(self, port: int = 0) -> Iterator[subprocess.Popen[str]]:
        """Its process, while it runs."""
        words = ["serve", "--port", str(port), "--state-dir", str(self._home / "state"), "--simulate", "--grace", "0"]
        env = {**os.environ, "HOME": str(self._home), "NO_COLOR": "1"}
        command = [sys.executable, "-m", "batchwright", *words, *self._options]
        with (self._home / "service.log").open("a") as log:
            process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None, (self._home / "service.log").read_text()
        self.url = found.group()
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the service answers. Exits with its refusal."""
        data = None if method == "GET" else json.dumps(body or {}).encode()
        asked = Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urlopen(asked, timeout=60) as answer:
                return json.loads(answer.read())
        except HTTPError as error:
            sys.exit(f"{method} {path}: {error.read().decode()}")

    def submit(self, definition: Mapping[str, Any], **sim: str) -> str:
        """Its run."""
        query = urlencode([("simulate", "true"), *(("sim", f"{key}={value}") for key, value in sim.items())])
        run: str = self.ask("POST", f"/v1/workflows/batch/submit?{query}", definition)["run"]
        return run

    def until(self, run: str, *states: str, done: int = 0) -> str:
        """Wait until a run is in one of these states and has done so much."""
        end = time.monotonic() + PATIENCE
        while True:
            view = self.ask("GET", f"/v1/workflows/batch/{run}")
            if view["done"] >= done and (not states or view["status"] in states or (view["asks"] and "Asks" in states)):
                return run
            if time.monotonic() > end:
                sys.exit(f"{run} is {view['status']} with {view['done']} steps done, which no picture is of")
            time.sleep(0.3)


def stage(service: Service) -> dict[str, str]:
    """Runs in every state, by the name of their pictures."""
    most = {"min_success": "75%"}
    runs = {
        "run-1": service.submit(workflow("first", servers("web", 1)), **QUICK),
        "run-12": service.submit(twelve("shop"), **QUICK),
        "run-12-failed": service.submit(twelve("shop-test"), **QUICK, fail_taskserv="nginx@shop-test-web-2"),
        "run-12-asks": service.submit(twelve("shop-prod", asks=True), **QUICK),
        "run-12-rolling-back": service.submit(twelve("shop-old"), **{**QUICK, "destroy_seconds": "900"}),
        "run-12-rolled-back": service.submit(twelve("shop-gone"), **QUICK),
        "run-degraded": service.submit(
            workflow("fleet", servers("edge", 12, **most), services("runtime", "containerd", "edge", **most)),
            **QUICK, fail="fleet-edge-7=not_found,fleet-edge-9=invalid",
        ),
    }  # fmt: skip
    for name, run in runs.items():
        service.until(run, *("Asks" if "asks" in name else "Completed", "Failed"))
    for name in ("run-12-rolling-back", "run-12-rolled-back"):
        service.ask("POST", f"/v1/workflows/batch/{runs[name]}/rollback")
    service.until(runs["run-12-rolled-back"], "RolledBack")
    return runs


def stage_large(service: Service) -> dict[str, str]:
    """Runs of many steps, in the midst of their work."""
    fail = "platform-servers-hel-4?=conflict,platform-servers-nyc-7=invalid"
    places = [f"{region}_{n}" for region in REGIONS for n in range(1, 9)]
    runs = {
        "run-1000": service.submit(regions("platform", 83, REGIONS, 120), **SLOW, fail=fail),
        "run-10000": service.submit(
            regions("planet", 104, places, 300),
            **{**SLOW, "install_seconds": "5"},
            fail="planet-servers-hel-2-1?=conflict",
        ),
    }
    service.until(runs["run-1000"], done=380)
    service.until(runs["run-10000"], done=2_500)
    return runs


def screens(runs: Mapping[str, str]) -> dict[str, str]:
    """Addresses by the names of their pictures, those that soon look different first."""
    at = {name: f"/ui/runs/{run}" for name, run in runs.items()}
    large = {
        name: at[name.rpartition("-")[0]] + query for name, query in LARGE.items() if name.rpartition("-")[0] in at
    }
    failed = at["run-12-failed"]
    step = failed + "?p=d&sel=site%2Fshop-test-web-2%2Fnginx"
    details = {
        "step-why": step,
        "step-log": step + "&tab=log",
        "step-history": step + "&tab=hist",
        "then": failed + "?at=12",
    }
    return {
        **large,
        "approvals": "/ui/approvals",
        **{name: path for name, path in at.items() if f"{name}-whole" not in LARGE},
        **{f"run-12-{name}": path for name, path in details.items()},
        "run-12-graph": at["run-12"] + "?p=g",
        "run-12-timeline": at["run-12"] + "?p=t&top=t",
        "run-12-nothing-found": at["run-12"] + "?f=postgers",
        "home": "/",
        "step": failed + "/steps/site/shop-test-web-2/nginx",
        "rollback": failed + "/rollback",
        "environment": "/ui/environments/shop?simulated=true",
        "plan": "/ui/plan",
        "servers": "/ui/servers",
        "service": "/ui/service",
        "service-lanes": "/ui/service?part=lanes",
        "service-access": "/ui/service?part=access",
        "taskservs": "/ui/taskservs",
        "destroy": "/ui/destroy?environment=simulated:shop",
        "drift": "/ui/drift?environment=simulated:shop",
        "checks": at["run-12"] + "/checks",
        "nowhere": "/ui/nowhere",
        "plain": "/ui/plain",
    }


class Photographer:
    """Takes pictures in a browser."""

    def __init__(self, program: Any, words: Sequence[str]) -> None:
        self._program, self._words = program, words
        FOLDER.mkdir(exist_ok=True)

    def wanted(self, name: str) -> list[tuple[int, str]]:
        """The widths and schemes in which pictures of this screen are asked for."""
        every = [(width, scheme) for width in WIDTHS for scheme in SCHEMES]
        return [
            one for one in every if not self._words or any(re.search(word, picture(name, *one)) for word in self._words)
        ]

    def take(self, url: str, screens: Mapping[str, str]) -> None:
        """One picture of each screen, at each width and in each scheme that is asked for."""
        for name, path in screens.items():
            for width, scheme in self.wanted(name):
                size = {"width": width, "height": WIDTHS[width]}
                tab = self._program.new_page(viewport=size, color_scheme=scheme)
                tab.goto(url + path)
                ready(tab)
                tab.screenshot(path=FOLDER / picture(name, width, scheme), full_page=not name.startswith("run"))
                tab.close()

    def disconnected(self, url: str, path: str, service: subprocess.Popen[str]) -> None:
        """Pictures of a run whose service was killed while it was looked at."""
        tabs = []
        for width, scheme in self.wanted("run-disconnected"):
            size = {"width": width, "height": WIDTHS[width]}
            tabs.append((self._program.new_page(viewport=size, color_scheme=scheme), width, scheme))
            tabs[-1][0].goto(url + path)
            ready(tabs[-1][0])
        service.kill()
        for tab, width, scheme in tabs:
            tab.locator(".banner").wait_for()
            tab.screenshot(path=FOLDER / picture("run-disconnected", width, scheme))
            tab.close()


def picture(name: str, width: int, scheme: str) -> str:
    """The name of its file."""
    return f"{name}-{width}-{scheme}.png"


def ready(tab: Page) -> None:
    """Wait until a screen has what it asked for."""
    tab.locator("#main, main").first.wait_for()
    tab.get_by_text("Asking the service…").first.wait_for(state="detached")
    tab.wait_for_timeout(1_500)  # for what is drawn on canvases, which has no elements to wait for


def main(words: Sequence[str]) -> None:
    """Take the pictures."""
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        program = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        photographer = Photographer(program, words)
        empty, full = (Path(folder, name) for name in ("empty", "full"))
        for home in (empty, full):
            home.mkdir()
        names = {"home-empty": "/", "approvals-empty": "/ui/approvals", "servers-empty": "/ui/servers"}
        if any(map(photographer.wanted, (*names, "sign-in"))):
            service = Service(empty)
            with service.running():
                photographer.take(service.url, names)
                words = ["token", "create", "--role", "viewer", "--state-dir", str(empty / "state")]
                subprocess.run([sys.executable, "-m", "batchwright", *words], check=True, capture_output=True)
                photographer.take(service.url, {"sign-in": "/"})
        service = Service(full)
        with service.running() as process:
            runs = stage(service)
            if any(map(photographer.wanted, LARGE)):
                runs |= stage_large(service)
            photographer.take(service.url, screens(runs))
            photographer.disconnected(service.url, f"/ui/runs/{runs['run-12-asks']}", process)
        program.close()


if __name__ == "__main__":
    main(sys.argv[1:])
