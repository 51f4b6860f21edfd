"""The life of one environment: a seeded script changes it as people do, kills commands, and checks everything.

What exists, what the runs add up to, and what the file asks for must be the same after every change.
"""

from __future__ import annotations

import copy
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from tests.support.command_line import Command

NAME, FILE = "year", "year.json"
SERVERS_MOST = 4
PAUSE = 1.0  # seconds until somebody tries again


class ServerWish(Struct):
    """A server that the file asks for: its plan, a label, and the port of each task service on it."""

    plan: str
    team: str
    services: dict[str, int]


Wishes = dict[str, ServerWish]


class Place(Struct, frozen=True):
    """Where the servers are: a provider, the plans and zone to choose from, and how long a run takes there at most.

    `tries` is how often a command is typed where the cloud does not always answer. `services` are task services with a
    port each. `breaks` damages a task service of a server as somebody at a
    terminal would. `flags` are those of `run` and `plan`, `simulated` those of the commands that look.
    """

    provider: str
    plans: tuple[str, ...]
    zone: str
    services: tuple[str, ...]
    run_seconds: float
    breaks: Callable[[Command, str, str], None] | None = None
    flags: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()
    tries: int = 1


class Year:
    """One environment, and the script that changes it. `told` is what happened, for the message of a failure."""

    def __init__(self, shell: Command, place: Place, seed: int) -> None:
        self.shell, self.place, self.chance = shell, place, random.Random(seed)
        self.told: list[str] = [f"seed {seed}"]
        self.wishes: Wishes = {}
        self.carried_out: Wishes = {}  # what was asked for last
        self.history: dict[str, Wishes] = {}  # what was asked for before each run
        self.kills = 0
        self.number = 0
        self._add_server()

    # -- changes to the file ---------------------------------------------------------------------------------------

    def _add_server(self) -> None:
        self.number += 1
        wish = ServerWish(self.chance.choice(self.place.plans), self.chance.choice("abc"), {})
        self.wishes[f"s{self.number}"] = wish
        if self.place.services and self.chance.random() < 0.7:
            self._add_service(f"s{self.number}")

    def _add_service(self, server: str = "") -> None:
        server = server or self.chance.choice(sorted(self.wishes))
        free = [name for name in self.place.services if name not in self.wishes[server].services]
        if free:
            self.wishes[server].services[self.chance.choice(free)] = self._port()

    def _port(self) -> int:
        return self.chance.randrange(20_000, 30_000)

    def _remove_server(self) -> None:
        if len(self.wishes) > 1:
            del self.wishes[self.chance.choice(sorted(self.wishes))]

    def _rename_server(self) -> None:
        self.number += 1
        self.wishes[f"s{self.number}"] = self.wishes.pop(self.chance.choice(sorted(self.wishes)))

    def _resize_server(self) -> None:
        wish = self.wishes[self.chance.choice(sorted(self.wishes))]
        wish.plan = self.chance.choice([plan for plan in self.place.plans if plan != wish.plan])

    def _relabel_server(self) -> None:
        wish = self.wishes[self.chance.choice(sorted(self.wishes))]
        wish.team = self.chance.choice([team for team in "abc" if team != wish.team])

    def _installed(self) -> list[tuple[str, str]]:
        return sorted((server, name) for server, wish in self.wishes.items() for name in wish.services)

    def _change_variable(self) -> None:
        if self._installed():
            server, name = self.chance.choice(self._installed())
            self.wishes[server].services[name] = self._port()

    def _remove_service(self) -> None:
        if self._installed():
            server, name = self.chance.choice(self._installed())
            del self.wishes[server].services[name]

    # -- one change ------------------------------------------------------------------------------------------------

    def change(self) -> None:
        """Change something as people do, carry it out, and check everything. A failure tells the whole story."""
        try:
            self._change()
            self.check()
        except AssertionError as error:
            raise AssertionError(f"{error}\n\n" + "\n".join(self.told)) from error

    def _change(self) -> None:
        kinds: list[tuple[int, Callable[[], None]]] = [
            (4, self._add_server if len(self.wishes) < SERVERS_MOST else self._remove_server),
            (2, self._remove_server),
            (1, self._rename_server),
            (2, self._resize_server),
            (2, self._relabel_server),
            (4, self._change_variable),
            (2, self._add_service),
            (2, self._remove_service),
        ]
        drawn = self.chance.random()
        if not self.carried_out:
            self._apply()
        elif drawn < 0.1 and self.history:
            self._roll_back()
        elif drawn < 0.2:
            self._break_by_hand()
        elif drawn < 0.23:
            self._begin_again()
        else:
            kind = self.chance.choices([one for _, one in kinds], [weight for weight, _ in kinds])[0]
            kind()
            self._tell(kind.__name__.strip("_"))
            self._apply()

    def _tell(self, what: str) -> None:
        self.told.append(
            f"{what}: {json.dumps({name: [w.plan, w.team, w.services] for name, w in self.wishes.items()})}"
        )

    def _write(self) -> None:
        place = self.place
        configs = [
            {"name": name, "plan": wish.plan, "zone": place.zone, "labels": {"team": wish.team}}
            for name, wish in self.wishes.items()
        ]
        operations: list[dict[str, Any]] = [
            {"id": "servers", "type": "server_batch", "provider": place.provider, "server_configs": configs}
        ]
        operations += [
            {
                "id": f"{service}_{name}",
                "type": "taskserv_batch",
                "provider": place.provider,
                "dependencies": ["servers"],
                "targets": [name],
                "taskservs": [{"name": service, "variables": {"port": port}}],
            }
            for name, wish in self.wishes.items()
            for service, port in wish.services.items()
        ]
        workflow = {"name": NAME, "version": str(self.number), "operations": operations}
        (self.shell.home / FILE).write_text(json.dumps({"batch_workflow": workflow}))

    def _apply(self) -> None:
        """Run the file to its end, in a third of the cases over a SIGKILL."""
        before = self.carried_out
        self._write()
        command = ["run", FILE, "--retire", "--replace", "all", *self.place.flags]
        last = self._newest()
        if self.chance.random() < 1 / 3:
            self._killed(command)
            if self._newest() == last:
                self._typed(*command)
            else:
                self._go_on(self._newest(), command, before)
        else:
            self._typed(*command)
        if self._newest() != last:
            self.history[self._newest()] = before
        self.carried_out = copy.deepcopy(self.wishes)

    def _typed(self, *words: str) -> None:
        """A command that shall succeed; a run that has failed is resumed, as often as somebody would try."""
        last, lost = self._newest(), False
        for _ in range(self.place.tries - 1):
            done = self.shell(*words, code=None)
            if done.returncode == 0 or (lost and "server-not-found" in done.stderr):
                return
            lost = words[:2] == ("servers", "destroy")  # its answer may be, and the server is gone then
            self.told.append(f"{words[0]}: {done.returncode}")
            time.sleep(PAUSE)
            if words[0] == "run" and self._newest() != last:
                words = ("resume", self._newest())
        self.shell(*words)

    def _killed(self, command: list[str]) -> None:
        process = self.shell.start(*command)
        time.sleep(self.chance.uniform(0.2, self.place.run_seconds))
        process.kill()
        process.communicate()
        self.kills += process.returncode < 0
        self.told.append(f"killed after {process.returncode}")

    def _go_on(self, run: str, command: list[str], before: Wishes) -> None:
        state = self.shell.json("status", run)["status"]
        if state == "Completed":
            return
        how = self.chance.choice(["resume", "resume", "cancel", "rollback"])
        self.told.append(f"{how} {run}, which is {state}")
        if how == "resume":
            self._typed("resume", run)
        elif how == "cancel":
            self.shell("cancel", run, code=None)
            self._typed(*command)
        else:
            self.shell("rollback", run, "--yes", code=None)
            if self.shell.json("status", run)["status"] not in ("RolledBack", "Cancelled"):
                raise AssertionError(self.shell("status", run).stdout)
            self._after_rollback(before)
            self._write()
            self.shell(*command, code=None)  # what it took away is as the file says now

    def _newest(self) -> str:
        runs = self.shell.json("list", "--limit", "1")["runs"]
        return runs[0]["run"] if runs else ""

    def _roll_back(self) -> None:
        """Undo the newest run that changed something."""
        offered = self.shell.json("status", NAME)["rollbacks"]
        if not offered or offered[0]["run"] not in self.history:
            return
        before = self.history[offered[0]["run"]]
        self.told.append(f"roll back {offered[0]['run']}")
        self._typed("rollback", offered[0]["run"], "--yes")
        self._after_rollback(before)

    def _after_rollback(self, before: Wishes) -> None:
        """What was not touched stays, what was created is gone, and nothing is there that was not before."""
        there, after = self._kept(), self.wishes
        for name, wish in there.items():
            assert name in before, f"{name} was created by what was rolled back"
            wish.team = before[name].team
            assert wish.plan == before[name].plan, f"{name} is {wish.plan}"
            for service, port in wish.services.items():
                assert before[name].services.get(service) == port, f"{service} on {name} has {port}"
        for name, wish in before.items():
            if name in after and after[name].plan == wish.plan:
                assert name in there, f"{name} was not touched, and is gone"
                same = {svc: port for svc, port in wish.services.items() if after[name].services.get(svc) == port}
                assert same.items() <= there[name].services.items(), f"{name} has lost {same}"
        self.wishes, self.carried_out = there, copy.deepcopy(there)
        if not there:  # a file asks for a server at least
            self._add_server()
            self._apply()
        self._write()

    def _break_by_hand(self) -> None:
        """A server is destroyed in the console, or a task service is damaged; drift says so, and a run repairs it."""
        if self._installed() and self.place.breaks is not None and self.chance.random() < 0.5:
            server, name = self.chance.choice(self._installed())
            self.place.breaks(self.shell, server, name)
            what = f"{name} on {server}"
        else:
            server, name = self.chance.choice(sorted(self.wishes)), ""
            self._typed("servers", "destroy", server, "--yes", *self.place.simulated)
            what = server
        self._tell(f"break {what}")
        found = self.shell.json("drift", NAME, code=2)
        broken = [(one["server"], one["kind"]) for one in found["items"] if one["state"] != "same"]
        assert (server, "taskserv" if name else "server") in broken, f"drift shows {broken}"
        self._write()
        again = ["--reinstall", server] if name else []
        self._typed("run", FILE, "--retire", "--replace", "all", *again, *self.place.flags)
        before = copy.deepcopy(self.carried_out)
        if not name:
            del before[server]  # this run created it anew
        self.history[self._newest()] = before

    def destroy(self) -> None:
        """The end of it: nothing is left."""
        self.told.append("destroy all")
        self._typed("destroy", NAME, "--yes")
        assert self._kept() == {}, "something is left"
        assert self._existing() == Counter(), "something exists"
        self.wishes.clear()
        self.carried_out = {}

    def _begin_again(self) -> None:
        self.destroy()
        self._add_server()
        self._apply()

    # -- what must hold --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What exists is what the runs add up to, and what the file asks for."""
        view = self.shell.json("status", NAME)
        assert (view["changing"], view["unsettled"]) == (False, ""), f"not settled: {view['run']}, {view['unsettled']}"
        assert self._kept() == self._asked(), "the runs do not add up to what the file asks for"
        refs = Counter((one["name"], one["ref"]) for one in view["resources"])
        there = self._existing()
        assert there == refs, f"there is {there}, and the runs add up to {refs}"
        drift = self.shell.json("drift", NAME, code=None)
        if not drift["ok"] and self.place.tries > 1:  # a cloud may list labels late that have just been changed
            time.sleep(PAUSE)
            drift = self.shell.json("drift", NAME, code=None)
        assert drift["ok"], f"it has drifted: {drift}"
        assert len(drift["items"]) == len(self.wishes) + len(self._installed()), "drift shows too much"
        plan = self.shell("plan", FILE, "--retire", "--exit-code", *self.place.flags, code=None)
        assert plan.returncode == 0, f"a plan would change something:\n{plan.stdout}{plan.stderr}"
        self.shell("store", "check")

    def _asked(self) -> Wishes:
        return self.wishes

    def _kept(self) -> Wishes:
        """What the environment has by its runs. Labels are in no view: the plan compares them."""
        found: Wishes = {}
        for one in self.shell.json("status", NAME)["resources"]:
            services = {svc["name"]: svc["variables"]["port"] for svc in one["taskservs"]}
            whole = one["whole"] and not one["leftover"] and all(svc["whole"] for svc in one["taskservs"])
            assert whole, f"{one['name']} is not whole"
            team = self.wishes[one["name"]].team if one["name"] in self.wishes else ""
            found[one["name"]] = ServerWish(one["plan"], team, services)
        return found

    def _existing(self) -> Counter[tuple[str, str]]:
        servers = self.shell.json("servers", *self.place.simulated)["servers"]
        return Counter((one["name"], one["ref"]) for one in servers)
