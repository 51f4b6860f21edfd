"""The address and rate limits of the API: the table [hetzner] of config.toml, and HCLOUD_* in the environment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from batchwright.errors import ProviderUnavailable
from batchwright.providers.settings import RestSettings, checked_address

API = "https://api.hetzner.cloud/v1"


class HetznerSettings(RestSettings, frozen=True):
    """`project` is your name for the project; the API does not tell which project a token belongs to."""

    project: str = ""
    settle_seconds: float = 30.0  # names are unique, so too short a time costs a failed step, never a second server
    rate: float = 5.0  # 3600 calls an hour are allowed in one burst, then one comes back each second
    page: int = 50  # the most that Hetzner allows


def api_url(settings: HetznerSettings, environ: Mapping[str, str]) -> str:
    """HCLOUD_ENDPOINT, else the setting, else the real one. Raises ProviderUnavailable."""
    url = (environ.get("HCLOUD_ENDPOINT") or settings.url or API).rstrip("/")
    hint = f"HCLOUD_ENDPOINT, or url under [hetzner] in config.toml, is an address like {API}"
    checked_address(url, "Hetzner", hint)
    return url


def token_of(environ: Mapping[str, str]) -> str:
    """The API token from HCLOUD_TOKEN. Raises ProviderUnavailable."""
    token = environ.get("HCLOUD_TOKEN", "").strip()
    if not token:
        raise ProviderUnavailable(
            "no credentials for Hetzner: HCLOUD_TOKEN is not set",
            hint="Make an API token of the project, with the right to write, in the Hetzner console and set "
            "HCLOUD_TOKEN; or rehearse with --simulate.",
        )
    if not token.isascii() or len(token.split()) != 1:
        raise ProviderUnavailable("HCLOUD_TOKEN does not look like a token", hint="Copy it again, without quotes.")
    return token


def project_of(settings: HetznerSettings, token: str) -> str:
    """The account's name: the given one, or one derived from the token that does not reveal it."""
    return settings.project or "token-" + hashlib.sha256(f"batchwright/{token}".encode()).hexdigest()[:12]
