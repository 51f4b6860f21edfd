"""The secrets in the environment of a process, which programs and error messages may print."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

SHORTEST = 6  # characters; a shorter value is a switch or a number

_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE_?KEY|API_?KEY|ACCESS_?KEY|ACCOUNT_?KEY|ENCRYPTION_?KEY"
    r"|(?:^|_)(?:PASS|PWD|AUTH|KEY)$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"^(?:OLD)?PWD$|_(?:FILE|PATH|DIR|SOCK|ID|NAME|URL)$", re.IGNORECASE)  # where it is, not what it is
_IN_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://([^\s/@:]*):([^\s/@]+)@", re.IGNORECASE)


def carried(environ: Mapping[str, str]) -> set[str]:
    """The values of variables with names like secrets, and passwords in URLs such as http://user:PASSWORD@host."""
    found: set[str] = set()
    for name, value in environ.items():
        if _SECRET.search(name) and not _PLACE.search(name):
            found.add(value)
        for _, password in _IN_ADDRESS.findall(value):
            found |= {password, unquote(password)}
    return {value for value in found if len(value) >= SHORTEST}
