"""This machine's own apt sources for its distribution, so that servers use them too. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

_POCKETS = ("", "-updates", "-security", "-backports")
_KEPT = tuple(f"Acquire::{name}" for name in ("http", "https", "Check-", "Retries", "ForceIPv", "Allow"))


class AptSource(Struct, frozen=True):
    """One line of a sources.list."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""

    def line(self) -> str:
        """The source as a line of a sources.list."""
        option = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {option}{self.uri} {self.suite} {' '.join(self.components)}"


def for_release(source: AptSource, own: str, other: str) -> AptSource:
    """A source of one release of a distribution as it is for another.

    >>> for_release(AptSource("http://deb", "bookworm-security", ("main",)), "bookworm", "trixie").suite
    'trixie-security'
    """
    return replace(source, suite=other + source.suite.removeprefix(own))


def distribution_sources(files: Mapping[str, str], codename: str) -> list[AptSource]:
    """The distribution's own sources among all in apt's files (`.list` or `.sources`, by name), each once.

    Third-party sources are left out: their keys are not in a new tree.
    """
    found: dict[AptSource, None] = {}
    for name, text in files.items():
        parsed = _deb822(text) if name.endswith(".sources") else _one_line(text)
        for source in parsed:
            if _is_distributions(source, codename):
                found[source] = None
    return list(found)


def _is_distributions(source: AptSource, codename: str) -> bool:
    suites = {codename + pocket for pocket in _POCKETS}
    owner = not source.signed_by or source.signed_by.rpartition("/")[2].startswith(("debian-archive", "ubuntu-archive"))
    return source.suite.rstrip("/") in suites and "main" in source.components and owner


def _one_line(text: str) -> Iterable[AptSource]:
    for raw in text.splitlines():
        words = raw.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        options: dict[str, str] = {}
        rest = words[1:]
        if rest and rest[0].startswith("["):
            end = next((i for i, word in enumerate(rest) if word.endswith("]")), len(rest) - 1)
            inside = " ".join(rest[: end + 1]).strip("[] ")
            options = dict(word.partition("=")[::2] for word in inside.split())
            rest = rest[end + 1 :]
        if len(rest) >= 3:
            yield AptSource(rest[0], rest[1], tuple(rest[2:]), options.get("signed-by", ""))


def _deb822(text: str) -> Iterable[AptSource]:
    for fields in _stanzas(text):
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        signed_by = fields.get("signed-by", "")
        keyring = signed_by if signed_by.startswith("/") and len(signed_by.split()) == 1 else ""
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield AptSource(uri, suite, tuple(fields.get("components", "").split()), keyring)


def _stanzas(text: str) -> Iterable[dict[str, str]]:
    """Fields by lower-case name; a line that begins with a space goes on with the field before it."""
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line[0] in " \t":
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()


def network_options(dump: str, environ: Mapping[str, str]) -> list[str]:
    """How packages are fetched here, from what `apt-config dump` prints and the proxies of the environment."""
    kept = [line for line in dump.splitlines() if line.startswith(_KEPT) and '""' not in line]
    for scheme in ("http", "https"):
        proxy = environ.get(f"{scheme}_proxy") or environ.get(f"{scheme.upper()}_PROXY")
        if proxy and '"' not in proxy and not any(f"{scheme}::Proxy" in line for line in kept):
            kept.append(f'Acquire::{scheme}::Proxy "{proxy}";')
    return [*kept, 'Acquire::Languages "none";']
