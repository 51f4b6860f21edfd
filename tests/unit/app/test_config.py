"""The configuration file, and the environment over it."""

import os
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.app.allowed_settings import PlaceConfig, ServiceSecrets
from batchwright.app.backing_services import PostgresConfig, SurrealConfig, TemporalConfig
from batchwright.app.place_ports import PlacePorts
from batchwright.app.settings import config_from, settings_from
from batchwright.app.system_clock import SystemClock
from batchwright.errors import ConfigInvalid, UsageError
from batchwright.model.secret_reference import SecretReference
from batchwright.providers import registry

FILE = """
url = "http://127.0.0.1:9090"

[surrealdb]
url = "wss://db.example.org:8000"
user = "me"
password = { command = ["pass", "show", "db"] }
auth_level = "namespace"
"""
PREFIX = "BATCHWRIGHT_SURREALDB_"


def home(folder: Path, text: str) -> dict[str, str]:
    place = folder / "config" / "batchwright"
    place.mkdir(parents=True)
    (place / "config.toml").write_text(text)
    return {"XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder)}


def test_without_a_file_and_variables_nothing_is_configured(tmp_path: Path) -> None:
    assert config_from({"HOME": str(tmp_path)}).surrealdb is None
    assert settings_from({"HOME": str(tmp_path)}).surrealdb is None


def test_catalogues_of_the_option_the_environment_and_the_file_count_together(tmp_path: Path) -> None:
    environ = home(tmp_path, 'catalogues = ["/three", "/one"]\n')
    assert settings_from(environ).catalogues == (Path("/three"), Path("/one"))
    environ["BATCHWRIGHT_CATALOGUES"] = f"/one{os.pathsep}/two"
    assert settings_from(environ, None, [Path("here")]).catalogues == (
        Path("here").absolute(), Path("/one"), Path("/two"), Path("/three"),
    )  # fmt: skip


def test_the_file_names_the_server(tmp_path: Path) -> None:
    found = settings_from(home(tmp_path, FILE)).surrealdb
    password = SecretReference(command=("pass", "show", "db"))
    assert found == SurrealConfig("wss://db.example.org:8000", "me", password, auth_level="namespace")
    assert (found.namespace, found.database) == ("batchwright", "journal")


def test_the_environment_beats_the_file_one_by_one(tmp_path: Path) -> None:
    environ = home(tmp_path, FILE)
    values = {"USER": "you", "NAMESPACE": "n", "DATABASE": "d", "PASSWORD": "p", "AUTH_LEVEL": "root"}
    found = config_from({**environ, **{PREFIX + key: value for key, value in values.items()}}).surrealdb
    password = SecretReference(env=PREFIX + "PASSWORD")
    assert found == SurrealConfig("wss://db.example.org:8000", "you", password, "n", "d", "root")
    only = config_from({PREFIX + "URL": "ws://db:1", PREFIX + "PASSWORD_FILE": "/x"}).surrealdb
    assert only == SurrealConfig("ws://db:1", password=SecretReference(file="/x"))


def test_an_empty_address_switches_the_server_off(tmp_path: Path) -> None:
    config = config_from({**home(tmp_path, FILE), PREFIX + "URL": "", PREFIX + "USER": "you"})
    assert (config.url, config.surrealdb) == ("http://127.0.0.1:9090", None)


def test_a_postgres_database_comes_from_the_file_and_the_environment(tmp_path: Path) -> None:
    text = """[postgres]
url = "postgresql://me@db1,db2/batchwright"
password = { file = "/run/secrets/postgres" }
sslrootcert = "/etc/ssl/db.pem"
"""
    environ, prefix = home(tmp_path, text), "BATCHWRIGHT_POSTGRES_"
    password = SecretReference(file="/run/secrets/postgres")
    found = settings_from(environ).postgres
    assert found == PostgresConfig("postgresql://me@db1,db2/batchwright", password, sslrootcert="/etc/ssl/db.pem")
    over = {prefix + "URL": "postgresql://me:secret@db/x", prefix + "SCHEMA": "ops", prefix + "SSLMODE": "require"}
    found = config_from({**environ, **over, prefix + "PASSWORD": "secret"}).postgres
    password = SecretReference(env=prefix + "PASSWORD")
    assert found == PostgresConfig("postgresql://me:secret@db/x", password, "ops", "require", "/etc/ssl/db.pem")
    assert config_from({**environ, prefix + "URL": ""}).postgres is None


@pytest.mark.parametrize("url", ["postgresql://me:geheim@db/x", "postgresql://db/x?password=geheim"])
def test_a_password_in_the_file_is_refused_and_not_shown(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="contains a password") as told:
        config_from(home(tmp_path, f'[postgres]\nurl = "{url}"\n'))
    assert "geheim" not in f"{told.value.message} {told.value.hint}"
    assert "BATCHWRIGHT_POSTGRES_URL" in told.value.hint


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("[surrealdb]\nurl = ?\n", "cannot read .*config.toml: .*line 2", "Correct it"),
        ("[surrealdb]\nuser = 'me'", "required field `url`, at `surrealdb`", "docs/stores.md"),
        (
            "[surrealdb]\nurl = 'ws://x'\npassword = 'geheim'",
            "Expected `object.*at `surrealdb.password`",
            "Do not write a password here",
        ),
        ("[surrealdb]\nurl = 'ws://x'\npassword = { env = 'A', file = 'B' }", "exactly one of", "docs/stores.md"),
        ("[surrealdb]\nurl = 'ws://x'\nauth_level = 'all'", "Invalid enum value 'all'", "docs/stores.md"),
        ("[surrealdb]\nurl = 'ws://x'\nurll = 1", "unknown field `urll`", "docs/stores.md"),
        ("surrealdb = 3", "Expected `object", "docs/stores.md"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=told) as caught:
        config_from(home(tmp_path, text))
    assert hint in caught.value.hint
    assert "geheim" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('secrets = { files = ["passwords"] }', "'passwords' is not an absolute path"),
        ('secrets = { files = ["/run/../etc/shadow"] }', "not an absolute path"),
        ('secrets = { env = [""] }', "a variable's name is empty"),
        ('secrets = { commands = [["x"]] }', "commands"),
        ("secret = {}", "secret"),
    ],
)
def test_a_mistake_in_what_clients_may_use_is_told(text: str, told: str, tmp_path: Path) -> None:
    """A1: the list is the operator's word; one that cannot be meant keeps the service from starting."""
    with pytest.raises(ConfigInvalid, match=re.escape(told)):
        settings_from(home(tmp_path, f"[service]\n{text}\n"))


def test_what_clients_may_use_stands_in_the_file(tmp_path: Path) -> None:
    """A1: nothing, unless it is listed."""
    listed = ServiceSecrets(("A",), ("/run/a", "~/b"))
    text = '[service]\nsecrets = { env = ["A"], files = ["/run/a", "~/b"] }\n'
    assert settings_from(home(tmp_path, text)).service.secrets == listed
    assert settings_from({"HOME": str(tmp_path)}).service.secrets == ServiceSecrets()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('commands = ["backup"]', "'backup' is not an absolute path"),
        ('providers = { upcloud = ["delete"] }', "delete"),
        ("program = []", "program"),
    ],
)
def test_a_mistake_in_what_a_place_does_is_told(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=re.escape(told)):
        settings_from(home(tmp_path, f"[place]\n{text}\n"))


def test_what_a_place_does_stands_in_the_file_and_is_nothing_else(tmp_path: Path) -> None:
    text = '[place]\ncommands = ["/bin/a", "*"]\nproviders = { upcloud = ["look", "create"] }\n'
    place = settings_from(home(tmp_path, text)).place
    assert (place.commands, place.providers) == (("/bin/a", "*"), {"upcloud": ("look", "create")})
    assert settings_from({"HOME": str(tmp_path)}).place == PlaceConfig()


def test_a_provider_is_called_from_the_place_that_its_table_names(tmp_path: Path) -> None:
    settings = settings_from(home(tmp_path, '[upcloud]\nat = "dc-madrid"\nrate = 2\n[hetzner]\nat = "No Place"\n'))
    assert PlacePorts(settings).where("upcloud", "") == "dc-madrid"
    assert PlacePorts(settings).where("upcloud", "dc-lisbon") == "dc-lisbon"
    assert PlacePorts(replace(settings, here="dc-madrid")).where("upcloud", "") == ""
    assert PlacePorts(settings).where("aws", "") == ""
    assert settings.of_provider("upcloud") == {"rate": 2, "state_dir": str(settings.state_dir)}
    with pytest.raises(ConfigInvalid, match="not the name of a place"):
        PlacePorts(settings).where("hetzner", "")


def test_every_installed_provider_may_have_a_table_and_nobody_else(tmp_path: Path) -> None:
    environ = home(tmp_path, '[hetzner]\nproject = "shop"\nrate = 2\n[static]\n')
    assert settings_from(environ).providers == {"hetzner": {"project": "shop", "rate": 2}, "static": {}}
    with pytest.raises(ConfigInvalid, match="hetznr"):
        settings_from(home(tmp_path / "wrong", '[hetznr]\nproject = "shop"\n'))
    with pytest.raises(ConfigInvalid, match="zzz") as raised:
        settings_from(home(tmp_path / "missing", "[zzz]\n"))
    assert raised.value.hint.endswith("If a plug-in adds zzz, install it: usually the package batchwright-zzz.")


def test_the_table_of_a_provider_reaches_it_as_it_is_and_it_checks_it(tmp_path: Path) -> None:
    environ = home(tmp_path, "[hetzner]\nproject = { env = 'X' }\n")
    table = settings_from(environ).providers["hetzner"]
    assert table == {"project": {"env": "X"}}
    with pytest.raises(UsageError, match="project"):
        registry.connect("hetzner", SystemClock(), table)


def test_what_checks_of_clients_may_look_at(tmp_path: Path) -> None:
    environ = home(tmp_path, '[checks]\nprivate_hosts = ["db.internal", "10.0.0.0/8"]\n')
    assert settings_from(environ).checks.private_hosts == ("db.internal", "10.0.0.0/8")
    with pytest.raises(ConfigInvalid, match="private_host"):
        settings_from(home(tmp_path / "wrong", "[checks]\nprivate_host = []\n"))


def test_temporal_is_configured_like_a_database(tmp_path: Path) -> None:
    environ = home(
        tmp_path,
        '[service]\nengine = "temporal"\n[temporal]\naddress = "t.example.org:7233"\n'
        'api_key = { file = "/run/secrets/temporal" }\n',
    )
    found = settings_from(environ)
    assert found.service.engine == "temporal"
    assert found.temporal == TemporalConfig("t.example.org:7233", api_key=SecretReference(file="/run/secrets/temporal"))
    assert found.temporal.has_tls
    own = {"BATCHWRIGHT_TEMPORAL_ADDRESS": "[::1]:7233", "BATCHWRIGHT_TEMPORAL_QUEUE": "two"}
    over = settings_from({"HOME": str(tmp_path), **own, "BATCHWRIGHT_ENGINE": "temporal"}).temporal
    assert over == TemporalConfig("[::1]:7233", queue="two")
    assert (over.has_tls, over.runs_queue, over.place_queue("madrid")) == (False, "two-runs", "two-place-madrid")
    assert settings_from({"HOME": str(tmp_path), "BATCHWRIGHT_TEMPORAL_ADDRESS": ""}).temporal is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[service]\nengine = "temporal"\n', "needs the address of Temporal"),
        ('[temporal]\naddress = "t.example.org"\n', "is HOST:PORT"),
        ('[temporal]\naddress = "t:1"\ntls_cert = "/c.pem"\n', "given together"),
        ('[temporal]\naddress = "t:1"\ntls_ca = "ca.pem"\n', "not a path that begins with /"),
        ('[temporal]\naddress = "127.0.0.1:1"\napi_key = { env = "K" }\n', "only sent over TLS"),
        ('[temporal]\naddress = "t:1"\napi_key = "abc"\n', "do not write an API key here"),
    ],
)
def test_a_mistake_about_temporal_is_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        config_from(home(tmp_path, text))
    assert words.lower() in f"{caught.value.message} {caught.value.hint}".lower()
