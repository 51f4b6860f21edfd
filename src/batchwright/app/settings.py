"""Where state lives. Explicit beats environment beats the XDG default."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchwright.app.config import ServiceConfig, SurrealConfig, config_from
from batchwright.user_home import expanded, home


class Settings(Struct, frozen=True):
    """What the whole program needs to know about its surroundings."""

    state_dir: Path
    surrealdb: SurrealConfig | None = None  # the server; without one the store is in the state folder
    catalogues: tuple[Path, ...] = ()  # folders with task services of the user's own
    providers: dict[str, dict[str, Any]] = {}  # what config.toml says to them, by name
    service: ServiceConfig = ServiceConfig()  # what a service here allows its clients

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
        """What the simulated providers have made, as durable as a real cloud is."""
        return self.state_dir / "simulated.db"

    def identity(self) -> str:
        """What tells one state folder of this machine from another, whatever it is called; empty where there is none.

        It is no secret and proves nothing: it keeps a command from asking a service about another folder's runs.
        """
        try:
            found = self.state_dir.stat()
        except OSError:
            return ""
        return hashlib.sha256(f"{found.st_dev}:{found.st_ino}".encode()).hexdigest()[:16]


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
    return Settings(expanded(state_dir, environ).absolute(), config.surrealdb, own, config.providers, config.service)
