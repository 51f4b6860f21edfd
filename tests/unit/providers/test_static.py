"""The static provider before and after it has taken a server: nobody is trusted unknown, and nothing is taken twice."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import msgspec
import pytest
from tests.support.machines import Machine, Machines

from batchwright.app.system_clock import SystemClock
from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Created, Gone, Observed, Rejected, ServerState
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers import registry
from batchwright.providers.static import Static
from batchwright.providers.static.adapter import _CAPABILITIES

ONE, TWO = Token("run-one", "a" * 26), Token("run-two", "b" * 26)


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.machines = Machines(folder)
        self.web = self.machines.start()

    @property
    def provider(self) -> Static:
        """As every process that starts sees it."""
        return Static("static", self.folder / "state" / "static")

    def config(self, name: str = "web-01", machine: Machine | None = None, **options: Any) -> ServerConfig:
        given = {"key": str(self.machines.key), **options}
        whole = (machine or self.web).options(**given)
        return ServerConfig(name, options={key: value for key, value in whole.items() if value is not None})

    def resolve(self, *configs: ServerConfig) -> list[ServerRequest | list[Diagnostic]]:
        async def main() -> list[ServerRequest | list[Diagnostic]]:
            await self.provider.open()
            return await self.provider.resolve(configs)

        return asyncio.run(main())

    def request(self, *args: Any, **options: Any) -> ServerRequest:
        (answer,) = self.resolve(self.config(*args, **options))
        assert isinstance(answer, ServerRequest), answer
        return answer

    def problem(self, *args: Any, **options: Any) -> Diagnostic:
        (answer,) = self.resolve(self.config(*args, **options))
        assert isinstance(answer, list), answer
        (problem,) = answer
        return problem

    def take(self, request: ServerRequest, token: Token = ONE) -> str:
        answer = asyncio.run(self.provider.create(request, token))
        assert isinstance(answer, Created), answer
        assert answer.ready
        return answer.ref

    def look(self, ref: str) -> Observed:
        return asyncio.run(self.provider.describe([ref]))[ref]


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    made = Rig(tmp_path)
    yield made
    made.machines.close()


# -- whom it trusts -------------------------------------------------------------------------------------------------


def test_nobody_is_trusted_on_first_use(rig: Rig) -> None:
    problem = rig.problem(host_key=None)
    assert (problem.field, problem.code) == ("host_key", "host-key-unknown")
    assert f"ssh-keyscan -p {rig.web.port} 127.0.0.1" in problem.hint
    assert "compare" in problem.hint


def test_a_key_in_the_home_is_named_in_the_plan_as_in_the_file(rig: Rig, tmp_path: Path) -> None:
    """So that the plan is the same for every user."""
    (tmp_path / "mine").write_bytes(rig.machines.key.read_bytes())
    (tmp_path / "mine").chmod(0o600)
    request = rig.request(key="~/mine")
    assert request.access is not None
    assert request.access.key == "~/mine"
    ref = rig.take(request)
    assert rig.look(ref).state is ServerState.READY
    assert asyncio.run(rig.provider.access([ref]))[ref].key == str(tmp_path / "mine")
    assert rig.request(key=str(tmp_path / "mine")).access is not None, "the same key, so the same server"


@pytest.mark.parametrize("hashed", [False, True])
def test_the_host_key_may_stand_in_a_known_hosts_file(rig: Rig, hashed: bool) -> None:
    host = f"[127.0.0.1]:{rig.web.port}"
    if hashed:
        salt = b"salt" * 5
        digest = hmac.new(salt, host.encode(), hashlib.sha1).digest()
        host = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    known = rig.folder / ".ssh" / "known_hosts"
    known.parent.mkdir()
    known.write_text(f"other.example ssh-ed25519 AAAA\n{host} {rig.web.host_key}\n")
    request = rig.request(host_key=None)
    assert request.access is not None
    assert request.access.host_keys == (rig.web.host_key,)

    elsewhere = known.rename(rig.folder / "elsewhere")
    assert rig.problem(host_key=None).code == "host-key-unknown"
    assert rig.request(host_key=None, known_hosts=str(elsewhere)) == request


def test_a_revoked_host_key_is_none(rig: Rig) -> None:
    known = rig.folder / "known"
    host = f"[127.0.0.1]:{rig.web.port}"
    known.write_text(f"{host} {rig.web.host_key}\n@revoked {host} {rig.web.host_key}\n")
    assert rig.problem(host_key=None, known_hosts=str(known)).code == "host-key-unknown"


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_another_host_key_than_the_known_one_is_refused_in_strong_words(rig: Rig, kind: str) -> None:
    other = " ".join(asyncssh.generate_private_key(kind).export_public_key().decode().split()[:2])
    problem = rig.problem(host_key=other)
    assert problem.code == "host-key-mismatch"
    assert "from a source you trust" in problem.hint


def test_what_stands_in_a_file_that_is_no_known_hosts_is_not_told(rig: Rig) -> None:
    secret = rig.folder / "shadow"
    secret.write_text("root:$6$verysecret:19000:\n@what ever it is\n")
    problem = rig.problem(host_key=None, known_hosts=str(secret))
    assert problem.code == "host-key-unreadable"
    assert str(secret) in problem.message
    assert "secret" not in problem.message.replace(str(secret), "")
    assert "ever" not in f"{problem.message}{problem.hint}"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"host_key": "ssh-ed25519 AAAAjunk"}, "host-key-unreadable", "cannot be read"),
        ({"key": "/nowhere/id"}, "key-missing", "/nowhere/id"),
        ({"user": "plain"}, "no-root", "cannot become root"),
    ],
)
def test_what_is_wrong_with_a_server_is_told(rig: Rig, options: dict[str, Any], code: str, words: str) -> None:
    problem = rig.problem(**options)
    assert problem.code == code
    assert words in problem.message


def test_a_user_who_may_become_root_is_enough(rig: Rig) -> None:
    access = rig.request(user="admin").access
    assert access is not None
    assert (access.host, access.user) == ("127.0.0.1", "admin")


def test_a_key_that_is_not_let_in_and_one_with_a_passphrase(rig: Rig) -> None:
    stranger, locked = rig.folder / "stranger", rig.folder / "locked"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(stranger))
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(locked), "pkcs8-pem", passphrase="x")
    assert rig.problem(key=str(stranger)).code == "login-refused"
    problem = rig.problem(key=str(locked))
    assert problem.code == "key-unusable"
    assert "ssh-add" in problem.hint


def test_a_server_that_does_not_answer_is_known_before_anything_is_changed(rig: Rig) -> None:
    rig.machines.stop(rig.web)
    assert rig.problem().code == "unreachable"


def test_a_server_behind_another(rig: Rig) -> None:
    gate = rig.machines.start("127.0.0.2")
    jump = gate.options(key=str(rig.machines.key), user="hop")
    request = rig.request(jump=jump)
    access = request.access
    assert access is not None
    assert access.jump is not None
    assert (access.jump.host, access.jump.user) == ("127.0.0.2", "hop")
    assert rig.take(request)
    rig.machines.stop(gate)
    assert rig.problem("web-02", rig.machines.start(), jump=jump).code == "unreachable"


def test_the_jump_host_is_not_trusted_unknown_either(rig: Rig) -> None:
    gate = rig.machines.start("127.0.0.2")
    jump = gate.options(key=str(rig.machines.key))
    unknown = {key: value for key, value in jump.items() if key != "host_key"}
    assert (problem := rig.problem(jump=unknown)).code == "host-key-unknown"
    assert problem.field == "jump.host_key"
    assert rig.problem(jump={**jump, "host_key": rig.web.host_key}).code == "host-key-mismatch"


# -- whose it is ----------------------------------------------------------------------------------------------------


def test_the_memory_is_looked_at(rig: Rig) -> None:
    facts = rig.request().facts
    assert facts is not None
    assert facts.memory_mb > 0


def test_two_names_of_one_server_are_told(rig: Rig) -> None:
    first, second = rig.resolve(rig.config("a"), rig.config("b"))
    assert isinstance(first, ServerRequest)
    assert isinstance(second, list)
    assert second[0].code == "server-twice"


def test_what_a_run_has_taken_is_kept_by_the_next_if_it_is_asked_for_alike(rig: Rig) -> None:
    request = rig.request()
    ref = rig.take(request)
    assert rig.request() == request
    assert [(seen.ref, seen.run, seen.state) for seen in asyncio.run(rig.provider.find())] == [
        (ref, "run-one", ServerState.READY)
    ]
    other = rig.machines.start()
    for problem, differs in (
        (rig.problem(machine=other), "its address differs"),
        (rig.problem(user="admin"), "its user differs"),
        (rig.problem("db-01"), 'has taken it as "web-01"'),
    ):
        assert problem.code == "server-taken"
        assert "run-one" in problem.message
        assert differs in problem.message
        assert f"batchwright servers destroy {ref}" in problem.hint


def test_a_create_that_is_sent_again_finds_the_record_of_an_older_version(rig: Rig) -> None:
    request = msgspec.structs.replace(rig.request(), facts=None)
    (path,) = rig.folder.glob(f"**/{rig.take(request)}.json")
    record = msgspec.json.decode(path.read_bytes())
    access = record["request"].pop("access")
    record["request"]["resolved"] = {"access": msgspec.json.encode(access).decode(), "address": access["host"]}
    path.write_bytes(msgspec.json.encode(record))
    assert isinstance(asyncio.run(rig.provider.create(request, ONE)), Created)
    other = msgspec.structs.replace(request, labels={"team": "red"})
    assert isinstance(asyncio.run(rig.provider.create(other, ONE)), Rejected)


def test_of_two_runs_that_want_the_same_server_one_is_refused(rig: Rig) -> None:
    request = rig.request()
    provider = rig.provider

    async def main() -> list[Any]:
        return list(await asyncio.gather(provider.create(request, ONE), provider.create(request, TWO)))

    answers = asyncio.run(main())
    assert sorted(type(answer).__name__ for answer in answers) == ["Created", "Rejected"]
    (refused,) = (answer for answer in answers if isinstance(answer, Rejected))
    assert refused.fault.kind is FaultClass.CONFLICT
    assert len(asyncio.run(provider.find())) == 1


def test_a_create_that_finds_nobody_records_nothing(rig: Rig) -> None:
    request = rig.request()
    rig.machines.stop(rig.web)
    answer = asyncio.run(rig.provider.create(request, ONE))
    assert isinstance(answer, Rejected)
    assert answer.fault.kind is FaultClass.TRANSIENT
    assert asyncio.run(rig.provider.find()) == []


def test_what_was_let_go_and_taken_again_is_another_server_to_the_first_run(rig: Rig) -> None:
    request = rig.request()
    first = rig.take(request, ONE)
    assert asyncio.run(rig.provider.destroy(first)) == Gone()
    second = rig.take(request, TWO)
    assert first != second
    assert rig.look(first).state is ServerState.GONE
    assert (rig.look(second).run, rig.look(second).state) == ("run-two", ServerState.READY)


def test_a_server_that_is_away_may_come_back_and_one_with_another_key_is_broken(rig: Rig) -> None:
    ref, port = rig.take(rig.request()), rig.web.port
    rig.machines.stop(rig.web)
    assert rig.look(ref).state is ServerState.STARTING
    rig.machines.start(port=port)
    seen = rig.look(ref)
    assert seen.state is ServerState.BROKEN
    assert seen.fault is not None
    assert seen.fault.code == "host-key-mismatch"
    assert seen.run == "run-one", "it can be let go all the same"
    assert list(asyncio.run(rig.provider.access([ref, "static-no"]))) == [ref]


# -- where it is written --------------------------------------------------------------------------------------------


def test_the_account_stays_when_the_state_folder_is_moved(rig: Rig) -> None:
    rig.take(rig.request())
    account = asyncio.run(rig.provider.account())
    (rig.folder / "state").rename(rig.folder / "moved")
    moved = Static("static", rig.folder / "moved" / "static")
    asyncio.run(moved.open())
    assert asyncio.run(moved.account()) == account
    asyncio.run(rig.provider.open())
    assert asyncio.run(rig.provider.account()) != account


def test_only_the_owner_can_read_what_is_recorded(rig: Rig) -> None:
    rig.take(rig.request())
    folder = rig.folder / "state" / "static"
    assert [path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())] == [0, 0, 0]


def test_a_record_that_cannot_be_read_is_told_and_never_passed_over(rig: Rig) -> None:
    ref = rig.take(rig.request())
    (rig.folder / "state" / "static" / f"{ref}.json").write_text("{}")
    with pytest.raises(ProviderUnavailable, match=ref):
        asyncio.run(rig.provider.find())


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    with pytest.raises(ProviderUnavailable, match="cannot be used"):
        asyncio.run(Static("static", tmp_path / "state" / "static").open())


def test_it_is_announced_and_needs_no_state_folder_to_say_what_it_promises() -> None:
    provider = registry.connect("static", SystemClock(), {})
    assert provider.capabilities == _CAPABILITIES
    assert not provider.capabilities.destroys
    assert [problem.field for problem in provider.validate(ServerConfig("a"))] == ["address"]
    with pytest.raises(ProviderUnavailable, match="state folder"):
        asyncio.run(provider.open())
