"""What others wrote, made fit for a slice: fenced as data, on one line, bounded, without controls and without secrets.

A fence does not make a model ignore what stands in it. It makes plain which words are not ours; that no words can do
harm follows from the readers, who can change nothing.
"""

from __future__ import annotations

import re

from batchwright.printable import REPLACEMENT, printable, shortened
from batchwright.redaction import BLOT, masked

LINE_MOST, NAME_MOST = 240, 120  # characters
_NAME = re.compile(rf"[A-Za-z0-9_][\w.:/@+!-]{{0,{NAME_MOST - 1}}}", re.ASCII)
_ASSIGNED = re.compile(  # name = value, for names of secrets
    r"(?i)([\w-]*(?:token|secret|passw(?:or)?d|passphrase|credentials?|private[_-]?key|api[_-]?key|access[_-]?key"
    r"|account[_-]?key|encryption[_-]?key)[\w-]*[\"']?\s*(?:[:=]|=>)\s*)(\"[^\"]*\"|'[^']*'|[^\s\"',;&)}\]]+)"
)
_CUT = re.compile(
    r"( \.\.\. \([\d,]+ characters\) \.\.\. )\S+"
)  # of `shortened`: what follows may be the end of a secret
_KNOWN = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|(?i:\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[a-z]_[0-9A-Za-z]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bxox[a-z]-[\w-]{10,}|\bsk-[\w-]{16,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
    re.DOTALL,
)


def fenced(text: str, most: int = LINE_MOST) -> str:
    """`<data>text</data>`: words that are not ours."""
    return f"<data>{cleaned(text, most)}</data>"


def cleaned(text: str, most: int = LINE_MOST) -> str:
    """The same without the fence: for a place that is marked as data already."""
    flat = " ".join(printable(without_secrets(text)).replace(REPLACEMENT, "?").split())
    return shortened(flat, most).replace("<", "&lt;").replace(">", "&gt;")


def name(text: str) -> str:
    """A name as it is if it is nothing but one; else fenced."""
    return text if _NAME.fullmatch(text) else fenced(text, NAME_MOST)


def without_secrets(text: str) -> str:
    """The text without what looks like a secret by its shape, its name, or its place in an address."""
    shown = _CUT.sub(rf"\g<1>{BLOT}", _KNOWN.sub(BLOT, text))
    shown = _ASSIGNED.sub(rf"\g<1>{BLOT}", shown)
    return masked(shown) if "://" in shown else shown
