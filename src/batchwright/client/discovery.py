"""Chooses what a command talks to: a named service, a service of this state folder, or the folder itself.

The second is reached over its own socket in that folder, which needs no token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from socket import create_connection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batchwright.app.settings import Settings, config_from, settings_from
from batchwright.client import local_socket
from batchwright.client.base import ANSWER_SECONDS, Client
from batchwright.errors import BatchwrightError, UsageError

if TYPE_CHECKING:
    from batchwright.client.http import HttpClient

DEFAULT_URL = "http://127.0.0.1:9090"
OWN_URL = "http://localhost"  # of a service that is asked over its own socket
SOCKET_SECONDS = 5.0  # that a service which is there may take to say what it serves
PROBE_SECONDS = 0.5  # that a command waits for an answer from the default address


def client_for(
    environ: Mapping[str, str],
    *,
    url: str | None = None,
    state_dir: Path | None = None,
    catalogues: Sequence[Path] = (),
    seconds: float = ANSWER_SECONDS,
    equipped: Callable[[Settings], Settings] = lambda settings: settings,
) -> Client:
    """The service of `service_for`, or the stores of the state folder. Raises UsageError, ConfigInvalid.

    `equipped` adds to the settings what only the doors know.
    """
    service = service_for(environ, url=url, state_dir=state_dir, seconds=seconds)
    if service is not None:
        return service
    from batchwright.client.local import LocalClient

    return LocalClient(equipped(settings_from(environ, state_dir, catalogues)))


def service_for(
    environ: Mapping[str, str],
    *,
    url: str | None = None,
    state_dir: Path | None = None,
    seconds: float = ANSWER_SECONDS,
) -> HttpClient | None:
    """`url`, else BATCHWRIGHT_URL, else `url` of the config file, else the default address; None: the local store.

    An explicit `state_dir` overrides the environment and the config file. The default address is queried only without a
    token, and used only if it serves the same state folder. Raises UsageError, ConfigInvalid.
    """
    if url is not None and state_dir is not None:
        raise UsageError(
            "--url and --state-dir are both given",
            hint="A service uses its own state folder; give only one of the two.",
        )
    named, source = url, "--url"
    if url is None and state_dir is None:
        named, source = setting(environ, "BATCHWRIGHT_URL"), "BATCHWRIGHT_URL"
        if not named:
            named, source = config_from(environ).url or None, "url of the config file"
    if named is not None:
        from batchwright.client.http import HttpClient

        token = setting(environ, "BATCHWRIGHT_TOKEN")
        address = _one_word(named, source)
        try:
            return HttpClient(address, token, seconds=seconds)
        except (UsageError, ValueError) as error:  # its words have the address, which may hold a password
            raise UsageError(
                f"{source} is not the address of a service", hint="Write it as http://HOST:PORT."
            ) from error
    return _of_this_folder(settings_from(environ, state_dir), seconds)


def setting(environ: Mapping[str, str], name: str) -> str:
    """An address or a token from the environment, without surrounding whitespace.

    Raises UsageError for a value that no header can carry; it names the variable and never shows the value.
    """
    return _one_word(environ.get(name, ""), name)


def _one_word(text: str, name: str) -> str:
    value = text.strip()
    if any(not "!" <= letter <= "~" for letter in value):
        raise UsageError(
            f"{name} contains whitespace, a control character or a non-ASCII character",
            hint=f"Set {name} again: it must be a single word.",
        )
    return value


def _of_this_folder(settings: Settings, seconds: float) -> HttpClient | None:
    own = settings.identity()
    if not own:
        return None
    socket = local_socket.path_of(settings.state_dir)
    if not socket.is_socket() and not _listens(DEFAULT_URL):
        return None
    from batchwright.client.http import HttpClient

    if socket.is_socket():
        try:
            served = HttpClient(OWN_URL, seconds=SOCKET_SECONDS, socket=socket, tries=1).health().state
        except BatchwrightError:  # left by a killed process
            served = ""
        if served == own:
            return HttpClient(OWN_URL, seconds=seconds, socket=socket)
    try:
        served = HttpClient(DEFAULT_URL, seconds=PROBE_SECONDS, tries=1).health().state
    except BatchwrightError:  # nothing there, or another program: it is only the default address, so that is no error
        return None
    return HttpClient(DEFAULT_URL, seconds=seconds) if served == own else None


def _listens(url: str) -> bool:
    """Whether anything takes connections there: it costs 0.1 ms, and the HTTP client's imports 30 ms."""
    parts = urlsplit(url)
    try:
        create_connection((str(parts.hostname), parts.port or 80), PROBE_SECONDS).close()
    except OSError:
        return False
    return True
