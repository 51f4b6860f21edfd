"""Errors about the keys that log in to servers."""

from __future__ import annotations

from batchwright.errors.base import BatchwrightError


class IdentityUnusable(BatchwrightError):
    """The key that `identity` in the table `[ssh]` of config.toml names cannot be used."""

    code = "identity-unusable"


class LoginKeyMissing(BatchwrightError):
    """Servers let in a key that is neither the identity of config.toml nor in the SSH agent."""

    code = "login-key-missing"
    hint = (
        "Add it to your SSH agent (ssh-add FILE), or name its file in config.toml: [ssh] identity. "
        "If you do not have it, ask whoever ran the file."
    )
