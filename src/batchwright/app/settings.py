"""What the user has set: the configuration file, the environment, which beats it, and where state lives."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Struct

from batchwright.app.allowed_settings import PlaceConfig, ServiceConfig
from batchwright.app.backing_services import PostgresConfig, SurrealConfig, TemporalConfig
from batchwright.app.guardrail_settings import Guardrails, guardrails_of
from batchwright.errors import ConfigInvalid, UsageError
from batchwright.model.environment import SIMULATED, EnvironmentKey
from batchwright.model.receiver_url import url_parts
from batchwright.model.secret_reference import SecretReference
from batchwright.model.trace_receiver import TraceReceiver
from batchwright.model.webhook import Webhook
from batchwright.places.carrier import Carrier
from batchwright.regular_files import contents
from batchwright.user_home import expanded, home

AGENT = "agent"
AT = "at"  # the setting of a provider's table that names its place
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ConfiguredWebhook(Webhook, frozen=True, forbid_unknown_fields=True):
    """A webhook of the operator's, for the runs of every workflow, or of these environments.

    An environment is NAME or NAME/ENVIRONMENT; NAME/* stands for all of a workflow.
    """

    environments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", self.name):
            raise ValueError(f"the name of a webhook has letters, digits, - and _; {self.name!r} is none")
        url_parts(self.url)

    def tells(self, key: EnvironmentKey) -> bool:
        """Whether the runs of this environment are told."""
        if key.space == SIMULATED and not self.simulated:
            return False
        wanted = self.environments
        return not wanted or key.name in wanted or f"{key.name.partition('/')[0]}/*" in wanted


class WebhookConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Which receivers that are not public workflow files may name: host names, addresses and networks."""

    private_hosts: tuple[str, ...] = ()


class ChecksConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What checks of clients' workflows may look at although it is not public: hosts, addresses, networks."""

    private_hosts: tuple[str, ...] = ()


class SshConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How runs and people log in to servers. `identity` is a key file or "agent"; empty: each run makes its own key."""

    identity: str = ""

    def __post_init__(self) -> None:
        if self.identity and self.identity != AGENT and not self.identity.startswith(("/", "~/")):
            raise ValueError(f'{self.identity!r} is neither "{AGENT}" nor a path that begins with / or ~/')


class AgentsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The language model that `ask --model` sends slices to; without `url` there is none.

    `api` is how it is spoken to. At most `daily_calls` calls and `daily_tokens` tokens, in and out, are used on a day
    (UTC). `seconds` is how long an answer may take, `answer_tokens` how long it may be.
    """

    url: str = ""
    model: str = ""
    api: Literal["openai", "anthropic"] = "openai"
    key: SecretReference | None = None
    daily_calls: int = 100
    daily_tokens: int = 200_000
    answer_tokens: int = 600
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.url and not (self.url.startswith(("http://", "https://")) and self.model):
            raise ValueError("a language model needs a url that begins with http:// or https://, and a model")
        if "@" in urlsplit(self.url).netloc:
            raise ValueError("its url must not hold a user or password: the file would hold a secret in clear; use key")
        if self.key and self.url.startswith("http://") and urlsplit(self.url).hostname not in LOOPBACK:
            raise ValueError("a key is only sent over https://, or to this machine")


class ConfigFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What the file may contain besides one table for each provider."""

    url: str = ""
    service: ServiceConfig = ServiceConfig()
    catalogues: tuple[str, ...] = ()
    surrealdb: SurrealConfig | None = None
    postgres: PostgresConfig | None = None
    ssh: SshConfig = SshConfig()
    webhooks: WebhookConfig = WebhookConfig()
    checks: ChecksConfig = ChecksConfig()
    notify: tuple[ConfiguredWebhook, ...] = ()
    traces: TraceReceiver | None = None
    agents: AgentsConfig = AgentsConfig()
    limits: dict[str, Any] = {}
    policy: str = ""
    temporal: TemporalConfig | None = None
    place: PlaceConfig = PlaceConfig()

    def __post_init__(self) -> None:
        if self.service.engine == "temporal" and self.temporal is None:
            raise ValueError('engine = "temporal" needs the address of Temporal in [temporal]')
        names = [one.name for one in self.notify]
        if len(set(names)) < len(names):
            raise ValueError("two webhooks have the same name")


class Config(Struct, frozen=True):
    """`url` is the service that commands use, `catalogues` are folders of task services.

    `providers` are the tables of installed providers, unchecked: each provider checks its own. `file` is what was read,
    None if there can be none.
    """

    url: str = ""
    service: ServiceConfig = ServiceConfig()
    catalogues: tuple[str, ...] = ()
    surrealdb: SurrealConfig | None = None
    providers: dict[str, dict[str, Any]] = {}
    webhooks: WebhookConfig = WebhookConfig()
    notify: tuple[ConfiguredWebhook, ...] = ()
    guardrails: Guardrails = Guardrails()
    file: Path | None = None
    ssh: SshConfig = SshConfig()
    checks: ChecksConfig = ChecksConfig()
    postgres: PostgresConfig | None = None
    traces: TraceReceiver | None = None
    agents: AgentsConfig = AgentsConfig()
    temporal: TemporalConfig | None = None
    place: PlaceConfig = PlaceConfig()


class Settings(Struct, frozen=True):
    """The environment of the program: its state folder and configuration."""

    state_dir: Path
    surrealdb: SurrealConfig | None = None  # the server; without one the store is in the state folder
    catalogues: tuple[Path, ...] = ()  # folders with task services of the user's own
    providers: dict[str, dict[str, Any]] = {}  # what config.toml says to them, by name
    service: ServiceConfig = ServiceConfig()  # what a service here allows its clients
    webhooks: WebhookConfig = WebhookConfig()
    notify: tuple[ConfiguredWebhook, ...] = ()  # the operator's webhooks
    guardrails: Guardrails = Guardrails()  # as they were when the program began
    config_file: Path | None = None  # where they are read again before each decision
    ssh: SshConfig = SshConfig()  # the key that logs in, its path with ~ replaced
    checks: ChecksConfig = ChecksConfig()
    postgres: PostgresConfig | None = None  # the database that several machines share
    traces: TraceReceiver | None = None  # the collector that gets the spans of all runs
    agents: AgentsConfig = AgentsConfig()  # the language model, if there is one
    temporal: TemporalConfig | None = None  # the cluster that has runs driven by workers
    place: PlaceConfig = PlaceConfig()  # what a worker here does for others
    here: str = ""  # the place whose calls this process answers
    carrier: Carrier | None = None  # what carries calls to places, given by the doors

    @property
    def journal_file(self) -> Path:
        """The path of the SQLite database of the `filesystem` store."""
        return self.state_dir / "journal.db"

    @property
    def surreal_folder(self) -> Path:
        """The folder of the embedded `surrealdb` store."""
        return self.state_dir / "surrealdb"

    @property
    def world_file(self) -> Path:
        """The file of the simulated world, which is as durable as a real cloud."""
        return self.state_dir / "simulated.db"

    def identity(self) -> str:
        """Identifies a state folder of this machine, whatever its path; empty if there is none.

        It is not a secret and proves nothing: it keeps a command from asking a service about another folder's runs.
        """
        try:
            found = self.state_dir.stat()
        except OSError:
            return ""
        return hashlib.sha256(f"{found.st_dev}:{found.st_ino}".encode()).hexdigest()[:16]

    def of_provider(self, name: str) -> dict[str, Any]:
        """What its adapter is given: its table in config.toml, without its place, and `state_dir`."""
        table = {key: value for key, value in self.providers.get(name, {}).items() if key != AT}
        return {**table, "state_dir": str(self.state_dir)}


def settings_from(
    environ: Mapping[str, str], state_dir: Path | None = None, catalogues: Sequence[Path] = ()
) -> Settings:
    """`state_dir`, else BATCHWRIGHT_STATE_DIR, else XDG_STATE_HOME/batchwright, else ~/.local/state/batchwright.

    `catalogues`, those of BATCHWRIGHT_CATALOGUES and those of the configuration file count together. See the XDG Base
    Directory Specification. Raises ConfigInvalid, UsageError.
    """
    config = config_from(environ)
    listed = [path for path in environ.get("BATCHWRIGHT_CATALOGUES", "").split(os.pathsep) if path]
    folders = [*catalogues, *map(Path, listed), *map(Path, config.catalogues)]
    if state_dir is None:
        named = environ.get("BATCHWRIGHT_STATE_DIR")
        xdg = environ.get("XDG_STATE_HOME")
        if named:
            state_dir = Path(named)
        elif xdg and Path(xdg).is_absolute():
            state_dir = Path(xdg) / "batchwright"
        else:
            state_dir = home(environ) / ".local" / "state" / "batchwright"
    own = tuple(dict.fromkeys(expanded(folder, environ).absolute() for folder in folders))
    ssh = config.ssh
    if ssh.identity not in ("", AGENT):
        ssh = SshConfig(str(expanded(ssh.identity, environ)))
    return Settings(
        expanded(state_dir, environ).absolute(),
        config.surrealdb,
        own,
        config.providers,
        config.service,
        config.webhooks,
        config.notify,
        config.guardrails,
        config.file,
        ssh,
        config.checks,
        config.postgres,
        config.traces,
        config.agents,
        config.temporal,
        config.place,
    )


def config_from(environ: Mapping[str, str]) -> Config:
    """The file under XDG_CONFIG_HOME or ~/.config, with BATCHWRIGHT_SURREALDB_*, _POSTGRES_* and _TEMPORAL_* over it.

    An empty BATCHWRIGHT_SURREALDB_URL, BATCHWRIGHT_POSTGRES_URL or BATCHWRIGHT_TEMPORAL_ADDRESS means: no server,
    whatever the file says. BATCHWRIGHT_ENGINE is `engine` of [service]. Raises ConfigInvalid.
    """
    place, found = _read(environ)
    guardrails = guardrails_of(found, place)
    _refuse_password(found.get("postgres"), place)
    if environ.get("BATCHWRIGHT_ENGINE") and isinstance(service := found.get("service", {}), dict):
        found["service"] = {**service, "engine": environ["BATCHWRIGHT_ENGINE"]}
    over = [name for name, kind in _SERVERS.items() if _overlay(found, name, kind.__struct_fields__, environ)]
    others = set(found) - set(ConfigFile.__struct_fields__)
    tables = {name: found.pop(name) for name in others & _providers()} if others else {}
    try:
        file = msgspec.convert(found, ConfigFile)
        providers = msgspec.convert(tables, dict[str, dict[str, Any]])
    except msgspec.ValidationError as error:
        about = " or ".join([str(place), *(f"a variable {_prefix(name)}*" for name in over)])
        raise ConfigInvalid(f"{about} has a mistake: {_told(error)}", hint=_hint(found)) from None
    read = file.url, file.service, file.catalogues, file.surrealdb, providers, file.webhooks, file.notify
    file_place = place if place.is_absolute() else None
    own = file.ssh, file.checks, file.postgres, file.traces, file.agents, file.temporal, file.place
    return Config(*read, guardrails, file_place, *own)


_SERVERS: dict[str, type[Struct]] = {
    "surrealdb": SurrealConfig,
    "postgres": PostgresConfig,
    "temporal": TemporalConfig,
}


_SECRETS = {"password", "api_key"}


def _prefix(name: str) -> str:
    return f"BATCHWRIGHT_{name.upper()}_"


def _overlay(found: dict[str, Any], name: str, fields: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Put the variables of a server over its table; gives whether there are any. Its first field says where it is."""
    prefix = _prefix(name)
    place = environ.get(prefix + fields[0].upper())
    if place == "":
        found.pop(name, None)
    over: dict[str, Any] = {
        key: environ[prefix + key.upper()]
        for key in fields
        if key not in _SECRETS and environ.get(prefix + key.upper())
    }
    for key in _SECRETS.intersection(fields):
        variable = prefix + key.upper()
        if environ.get(variable):
            over[key] = {"env": variable}
        elif environ.get(f"{variable}_FILE"):
            over[key] = {"file": environ[f"{variable}_FILE"]}
    server = found.get(name)
    if place or (isinstance(server, dict) and place != ""):
        found[name] = {**(server if isinstance(server, dict) else {}), **over}
    return bool(over)


def _has_password(url: str) -> bool:
    """Whether a URL contains a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    user = parts.netloc.rpartition("@")[0]
    return ":" in user or "password" in dict(parse_qsl(parts.query))


def _refuse_password(server: Any, place: Path) -> None:
    """The file holds no secrets. A variable may hold the whole URL."""
    if isinstance(server, dict) and isinstance(server.get("url"), str) and _has_password(server["url"]):
        raise ConfigInvalid(
            f"the url of [postgres] in {place} contains a password",
            hint='Refer to it: password = { file = "/run/secrets/postgres" }. Or set the whole URL in '
            "BATCHWRIGHT_POSTGRES_URL.",
        )


def _read(environ: Mapping[str, str]) -> tuple[Path, dict[str, Any]]:
    xdg = environ.get("XDG_CONFIG_HOME")
    try:
        base = Path(xdg) if xdg and Path(xdg).is_absolute() else home(environ) / ".config"
    except UsageError:  # no home, so there is no file in it
        return Path("config.toml"), {}
    place = base / "batchwright" / "config.toml"
    try:
        return place, tomllib.loads(contents(place).decode())
    except (FileNotFoundError, NotADirectoryError):
        return place, {}
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"cannot read {place}: {error}", hint="Correct it or remove it.") from error


def _providers() -> set[str]:
    from batchwright.providers import registry  # here, as few have a table that may be a provider's

    return set(registry.names())


def _told(error: msgspec.ValidationError) -> str:
    return str(error).replace(" - at `$.", ", at `").replace("`$.", "`")


def _plug_in_hint(table: str) -> str:
    from batchwright.providers import registry

    return registry.plug_in_hint(table, ConfigFile.__struct_fields__)


def _hint(found: dict[str, Any]) -> str:
    for name in _SERVERS:
        server = found.get(name)
        for secret in sorted(_SECRETS):
            if isinstance(server, dict) and isinstance(server.get(secret), str):
                words = {"api_key": "an API key"}.get(secret, f"a {secret}")
                return f'Do not write {words} here; refer to it, as in {secret} = {{ file = "/run/secrets/{name}" }}.'
    strange = sorted(set(found) - set(ConfigFile.__struct_fields__))
    if strange and (hint := _plug_in_hint(strange[0])):
        return f"A table has the name of an installed provider. {hint}"
    if "notify" in found or "webhooks" in found:
        return 'docs/webhooks.md has an example. A secret is never written here: secret = { env = "OPS_HOOK_SECRET" }'
    service = found.get("service")
    if "temporal" in found or (isinstance(service, dict) and "engine" in service):
        return "docs/fleet.md lists the values."
    return "docs/handing-over.md lists the values." if "ssh" in found else "docs/stores.md has an example."
