"""The driver, account and limits: the table [libcloud] of config.toml, and LIBCLOUD_* in the environment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from batchwright import ProviderUnavailable, Scalar
from batchwright.providers.settings import checked_address, must_be, settings_of
from batchwright.regular_files import contents
from batchwright.user_home import expanded

Adopt = Literal["", "metadata", "name", "nothing"]
OPTIONS = (
    "region",
    "host",
    "port",
    "secure",
    "api_version",
)  # passed to the driver, as is ex_*

_NAMED = ("brightbox", "cloudscale", "digitalocean", "linode", "vultr")


class LibcloudSettings(Struct, frozen=True):
    """Times are seconds. `adopt`: how a server is recognised whose create was not answered; empty: what is known."""

    state_dir: str = ""
    driver: str = ""
    key_file: str = ""  # files that hold the two halves of the credentials; else LIBCLOUD_KEY and LIBCLOUD_SECRET
    secret_file: str = ""
    account: str = ""
    user: str = "root"  # whom the images let in
    adopt: Adopt = ""
    settle_seconds: float = 120.0
    visible_seconds: float | None = None  # a listing begun so long after a create shows it; None: settle_seconds
    exclusive: bool = False  # no other store creates servers in this account
    poll_seconds: float = 5.0
    concurrency: int = 4
    rate: float = 2.0

    @property
    def adopted_by(self) -> Adopt:
        """By metadata or by name only where the driver's source was read: both must be in the one create call.

        Those of EC2 and its relatives, for one, name and tag a server by a second call.
        """
        if self.adopt:
            return self.adopt
        if self.driver == "openstack":
            return "metadata"
        return "name" if self.driver in _NAMED else "nothing"


def settings_from(
    table: Mapping[str, Scalar], environ: Mapping[str, str]
) -> tuple[LibcloudSettings, dict[str, Scalar]]:
    """The settings, and the options of the driver. LIBCLOUD_DRIVER beats the table.

    Raises UsageError for what is not known or not of its kind.
    """
    given = {**table, "driver": environ.get("LIBCLOUD_DRIVER") or table.get("driver", "")}
    options = {key: value for key, value in given.items() if key in OPTIONS or key.startswith("ex_")}
    own = {key: value for key, value in given.items() if key not in options}
    found = settings_of(LibcloudSettings, "libcloud", own)
    visible = found.poll_seconds if found.visible_seconds is None else found.visible_seconds
    positive = min(found.poll_seconds, found.concurrency, visible) > 0
    must_be(positive and min(found.settle_seconds, found.rate) >= 0, "libcloud", own)
    return found, options


def address(environ: Mapping[str, str]) -> dict[str, Scalar]:
    """The options of the driver that LIBCLOUD_URL stands for. Raises ProviderUnavailable for what is no address."""
    url = environ.get("LIBCLOUD_URL")
    if not url:
        return {}
    found = checked_address(url, "cloud's", "LIBCLOUD_URL is like https://api.example.org, without a path.")
    is_secure = found.scheme == "https"
    return {"host": found.hostname or "", "port": found.port or (443 if is_secure else 80), "secure": is_secure}


def credentials(settings: LibcloudSettings, environ: Mapping[str, str]) -> list[str]:
    """Key, and secret where there is one: what a driver is made with. Raises ProviderUnavailable."""
    key = _half(settings.key_file, environ.get("LIBCLOUD_KEY", ""))
    secret = _half(settings.secret_file, environ.get("LIBCLOUD_SECRET", ""))
    if not key:
        raise ProviderUnavailable(
            "no credentials for libcloud: LIBCLOUD_KEY is not set",
            hint="Set LIBCLOUD_KEY, and LIBCLOUD_SECRET where the driver takes two, or name files under [libcloud].",
        )
    return [key, secret] if secret else [key]


def _half(file: str, otherwise: str) -> str:
    if not file:
        return otherwise.strip()
    try:
        return contents(expanded(file)).decode().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ProviderUnavailable(f"{file} cannot be read: {reason}", hint="Correct it under [libcloud].") from None


def account_of(settings: LibcloudSettings, options: Mapping[str, Scalar], key: str) -> str:
    """Libcloud tells no account: the given name, or one that goes with the key and does not tell it."""
    whose = settings.account or "key-" + hashlib.sha256(f"batchwright/{key}".encode()).hexdigest()[:12]
    place = [str(options[name]) for name in ("host", "region", "ex_force_service_region") if name in options]
    return "/".join([settings.driver, *place, whose])
