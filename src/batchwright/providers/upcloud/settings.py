"""Where the API is and how gently it is used: the table [upcloud] of config.toml, with UPCLOUD_* of the environment."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

from batchwright.errors import ProviderUnavailable
from batchwright.providers.settings import RestSettings, checked_address

API = "https://api.upcloud.com/1.3"
VERSION = "/1.3"


class UpCloudSettings(RestSettings, frozen=True):
    """UpCloud publishes no bound of lateness, and no limit of calls: it adapts to throttling from `rate`."""

    settle_seconds: float = 120.0  # a late server was never seen to take longer
    visible_seconds: float | None = 30.0  # assumed, and shorter than a boot: a listing of labels was never seen to lag
    concurrency: int = 4
    page: int = 100  # 1000 at most


def api_url(settings: RestSettings, environ: Mapping[str, str]) -> str:
    """UPCLOUD_API_URL, else the setting, else the real one; with the version at its end. Raises ProviderUnavailable."""
    url = (environ.get("UPCLOUD_API_URL") or settings.url or API).rstrip("/")
    hint = "UPCLOUD_API_URL, or url under [upcloud] in config.toml, is an address like https://api.upcloud.com/1.3"
    parts = checked_address(url, "UpCloud", hint)
    return url if parts.path.endswith(VERSION) else url + VERSION


def authorization(environ: Mapping[str, str]) -> str:
    """The Authorization header from UPCLOUD_TOKEN, or UPCLOUD_USERNAME and _PASSWORD. Raises ProviderUnavailable."""
    token, user, password = (environ.get(f"UPCLOUD_{x}", "").strip() for x in ("TOKEN", "USERNAME", "PASSWORD"))
    if token and (user or password):
        raise ProviderUnavailable(
            "both UPCLOUD_TOKEN and UPCLOUD_USERNAME or UPCLOUD_PASSWORD are set, and they may mean different accounts",
            hint="Unset one of them; a token is recommended.",
        )
    if token:
        if not token.isascii() or len(token.split()) != 1:
            raise ProviderUnavailable("UPCLOUD_TOKEN does not look like a token", hint="Copy it again, without quotes.")
        return f"Bearer {token}"
    if user and password:
        return _basic(user, password)
    missing = "UPCLOUD_PASSWORD" if user else "UPCLOUD_USERNAME" if password else "UPCLOUD_TOKEN"
    raise ProviderUnavailable(
        f"no credentials for UpCloud: {missing} is not set",
        hint="Make an API token in the UpCloud control panel and set UPCLOUD_TOKEN; or rehearse with --simulate.",
    )


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
