"""Whether cloud-init, or the kernel that runs a script, will recognise `user_data` as what it is."""

from __future__ import annotations

import difflib
from functools import lru_cache

from batchwright.loader import duplicate_keys
from batchwright.loader.nickel_scanner import Places
from batchwright.model.diagnostic import Diagnostic, Severity

READ_MAX = 256 * 1024  # characters of a cloud-config that are looked through

CLOUD_CONFIG = "#cloud-config"
# What cloud-init knows, in its own order of length; case does not matter.
STARTS = (
    *("#cloud-config-archive", "#cloud-config-jsonp", CLOUD_CONFIG, "#cloud-boothook", "#include-once", "#include"),
    *("#part-handler", "#upstart-job", "## template: jinja", "content-type:", "mime-version:", "#!"),
)
OTHERS = ("{", "http://", "https://")  # Ignition, and an address that some clouds fetch


@lru_cache(maxsize=64)
def warnings(text: str) -> tuple[Diagnostic, ...]:
    """The warnings about it. Cached, since many servers get the same text."""
    found: list[Diagnostic] = []
    bare = text.lstrip("\ufeff \t\r\n")
    start = next((one for one in STARTS if bare.lower().startswith(one)), "")
    if text.startswith("\ufeff"):
        found.append(
            _warning("user-data-start", "user_data begins with a byte order mark", "Save it as UTF-8 without one.")
        )
    elif bare != text and bare:
        what = f"`{start}`" if start else "the first line"
        message = f"user_data has whitespace before {what}, so its format may not be recognised"
        hint = 'Start at the first character. In Nickel: m%"#!/bin/sh, or std.string.trim.'
        found.append(_warning("user-data-start", message, hint))
    if "\r" in text:
        message = "user_data has Windows line ends (CRLF), which break a script"
        found.append(_warning("user-data-crlf", message, "Save it with LF only, for example with dos2unix."))
    if start == CLOUD_CONFIG:
        found += _config(bare)
    elif not start and bare and not bare.startswith(OTHERS):
        found.append(_unknown(bare.split("\n", 1)[0].strip()))
    return tuple(found)


def _unknown(line: str) -> Diagnostic:
    word = line.lower().replace(" ", "")
    if line.startswith("#") and difflib.SequenceMatcher(None, word, CLOUD_CONFIG).ratio() > 0.75:
        message = f"user_data begins with `{line[:40]}`, which cloud-init ignores"
        return _warning("user-data-kind", message, f"Did you mean `{CLOUD_CONFIG}`?")
    message = "the format of user_data cannot be recognised, so it may be ignored"
    hint = f"A script begins with #!/bin/sh, a cloud-init configuration with {CLOUD_CONFIG}."
    return _warning("user-data-kind", message, hint)


def _warning(code: str, message: str, hint: str) -> Diagnostic:
    return Diagnostic(code, message, hint, Severity.WARNING)


def _config(text: str) -> list[Diagnostic]:
    if len(text) > READ_MAX:
        return []
    found: list[Diagnostic] = []
    places = Places(text)
    for one in duplicate_keys.found_in(text, "yaml"):
        line = places.of(one.offset).line
        if one.code == "syntax-error":
            found.append(
                _warning(
                    "user-data-config", f"the cloud-config of user_data is not valid YAML: line {line}: {one.key}", ""
                )
            )
        elif one.code == "duplicate-key":
            message = f'the cloud-config of user_data has the key "{one.key[:40]}" twice: line {line}'
            found.append(_warning("user-data-config", message, "The last one takes effect: keep one of them."))
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    if not found and lines and not any(":" in line for line in lines):
        message = "the cloud-config of user_data is not a mapping"
        found.append(_warning("user-data-config", message, "Write NAME: VALUE."))
    return found
