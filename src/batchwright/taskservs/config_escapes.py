"""Escapes a value for a file format or a language, one function for each. Pure.

Each raises ValueError for a value that cannot be written there; the message does not repeat the value.
"""

from __future__ import annotations

import json
import re
from shlex import quote as shell_word

__all__ = [
    "haproxy_word",
    "hba_word",
    "nginx_word",
    "postgresql_value",
    "redis_word",
    "shell_word",
    "source_word",
    "sql_identifier",
    "sql_literal",
    "systemd_value",
    "systemd_word",
    "toml_string",
]

IDENTIFIER_BYTES = 63  # of a name in PostgreSQL, which cuts off the rest


def redis_word(text: str) -> str:
    """An argument in redis.conf: what is between double quotes may hold anything, escaped."""
    return '"' + "".join(_redis_byte(byte) for byte in text.encode()) + '"'


def _redis_byte(byte: int) -> str:
    if chr(byte) in '"\\':
        return "\\" + chr(byte)
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"


def nginx_word(text: str) -> str:
    """A parameter in nginx.conf. A `$` begins a variable there, and nothing takes that from it."""
    if "$" in text or "\0" in text:
        raise ValueError("nginx's configuration cannot hold a $ or a NUL in a value")
    for character, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(character, written)
    return f'"{text}"'


def haproxy_word(text: str) -> str:
    """An argument in haproxy.cfg: between single quotes nothing has a meaning."""
    if any(character in text for character in "\0\n\r"):
        raise ValueError("haproxy's configuration cannot hold the end of a line or a NUL in a value")
    return "'" + text.replace("'", "'\\''") + "'"


def postgresql_value(text: str) -> str:
    """The value of a setting in postgresql.conf."""
    _refuse_nul(text)
    for character, written in (("\\", "\\\\"), ("'", "''"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(character, written)
    return f"'{text}'"


def hba_word(text: str) -> str:
    """A field in pg_hba.conf, where a quoted word is never one of its keywords."""
    if any(character in text for character in "\0\n\r"):
        raise ValueError("pg_hba.conf cannot hold the end of a line in a value")
    return '"' + text.replace('"', '""') + '"'


def sql_literal(text: str) -> str:
    """A text in a statement of PostgreSQL, whatever standard_conforming_strings is."""
    _refuse_nul(text)
    quoted = "'" + text.replace("'", "''").replace("\\", "\\\\") + "'"
    return f" E{quoted}" if "\\" in text else quoted


def sql_identifier(text: str) -> str:
    """A name in a statement of PostgreSQL."""
    _refuse_nul(text)
    if not 1 <= len(text.encode()) <= IDENTIFIER_BYTES:
        raise ValueError(f"a name in PostgreSQL has 1 to {IDENTIFIER_BYTES} bytes")
    return '"' + text.replace('"', '""') + '"'


def systemd_value(text: str) -> str:
    """The value of a variable in an EnvironmentFile of systemd, which a shell reads in the same way."""
    _refuse_nul(text)
    return '"' + re.sub(r'(["\\$`])', r"\\\1", text) + '"'


def systemd_word(text: str) -> str:
    """A word of a command in a unit file, where `ExecStart=:` takes away the meaning of `$`."""
    _refuse_nul(text)
    for character, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("%", "%%")):
        text = text.replace(character, written)
    return f'"{text}"'


def toml_string(text: str) -> str:
    """A string as a quoted TOML value."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def source_word(text: str) -> str:
    """A word in a line of apt's sources.list, which knows no quotes."""
    if not text or text[0] in "[#" or not all("!" <= character <= "~" for character in text):
        raise ValueError("a line of apt's sources cannot contain this word")
    return text


def _refuse_nul(text: str) -> None:
    if "\0" in text:
        raise ValueError("it holds a NUL")
