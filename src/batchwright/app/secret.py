"""Finds what a reference to a secret names, at the moment of use."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from batchwright.errors import SecretMissing
from batchwright.model.secret import Secret

COMMAND_SECONDS = 20.0
MAX_BYTES = 64 * 1024


def reveal(secret: Secret, environ: Mapping[str, str]) -> str:
    """The secret. Raises SecretMissing."""
    if secret.command:
        found = _from_command(secret)
    else:
        found = _from_file(secret) if secret.file else environ.get(secret.env, "")
    if not found:
        raise SecretMissing(f"the secret in {secret} is empty or missing")
    return found


def _from_file(secret: Secret) -> str:
    try:
        return Path(secret.file).expanduser().read_text(encoding="utf-8")[:MAX_BYTES].removesuffix("\n")
    except (OSError, ValueError) as error:
        raise SecretMissing(f"{secret} cannot be read: {_reason(error)}") from None


def _from_command(secret: Secret) -> str:
    word = secret.command[0]
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, without a shell
            secret.command, stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=True, text=True
        )
    except subprocess.CalledProcessError as error:
        raise SecretMissing(f"{word}, which prints a secret, ended with {error.returncode}") from None
    except subprocess.TimeoutExpired:
        raise SecretMissing(f"{word}, which prints a secret, took over {COMMAND_SECONDS:g} s") from None
    except (OSError, ValueError) as error:
        raise SecretMissing(f"{secret} cannot be had: {_reason(error)}") from None
    return done.stdout[:MAX_BYTES].removesuffix("\n")


def _reason(error: Exception) -> str:
    """Why, without what was read: the text of a decoding error would show it."""
    return error.strerror or "error" if isinstance(error, OSError) else "it is not text"
