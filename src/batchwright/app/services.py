"""Which service a command talks to, if any: one that is named, or one that serves this very state folder."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from batchwright.app.remote import ANSWER_SECONDS, Service
from batchwright.app.settings import Settings, settings_from
from batchwright.errors import BatchwrightError, ConfigInvalid, UsageError

DEFAULT_URL = "http://127.0.0.1:9090"
PROBE_SECONDS = 0.5  # that a command waits for an answer from an address nobody named


def service_for(
    environ: Mapping[str, str],
    *,
    url: str | None = None,
    state_dir: Path | None = None,
    seconds: float = ANSWER_SECONDS,
) -> Service | None:
    """`url`, else BATCHWRIGHT_URL, else `url` of the config file, else the default address; None: the local store.

    A `state_dir` that was given beats what the environment and the config file name. The default address is asked only
    without a token, and taken only if it serves the same state folder. Raises UsageError, ConfigInvalid.
    """
    if url is not None and state_dir is not None:
        raise UsageError("--url and --state-dir are both given", hint="A service has a state folder of its own.")
    named = url if url is not None else (None if state_dir else environ.get("BATCHWRIGHT_URL") or configured(environ))
    if named is not None:
        return Service(named, environ.get("BATCHWRIGHT_TOKEN", ""), seconds=seconds)
    return _of_this_folder(settings_from(environ, state_dir), seconds)


def configured(environ: Mapping[str, str]) -> str | None:
    """`url` in ~/.config/batchwright/config.toml (or under XDG_CONFIG_HOME). Raises ConfigInvalid."""
    xdg = environ.get("XDG_CONFIG_HOME")
    base = Path(xdg) if xdg and Path(xdg).is_absolute() else Path(environ.get("HOME", "/")) / ".config"
    path = base / "batchwright" / "config.toml"
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("url")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"cannot read {path}: {error}", hint="Correct it or remove it.") from error
    if found is not None and not isinstance(found, str):
        raise ConfigInvalid(f"{path}: url is not a text", hint='Write url = "http://HOST:PORT".')
    return found or None


def _of_this_folder(settings: Settings, seconds: float) -> Service | None:
    own = settings.identity()
    if not own:
        return None
    try:
        served = Service(DEFAULT_URL, seconds=PROBE_SECONDS).health().state
    except BatchwrightError:  # nothing there, or something else: nobody named it, so that is no error
        return None
    return Service(DEFAULT_URL, seconds=seconds) if served == own else None
