"""Security headers of every response: our pages load nothing from other sites, and other sites cannot embed ours."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable

Raw = list[tuple[bytes, bytes]]

SAFE: Raw = [
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


def secured(headers: Iterable[tuple[bytes, bytes]]) -> Raw:
    """The headers of a response, plus those of SAFE that it does not set itself."""
    own = list(headers)
    named = {name.lower() for name, _ in own}
    return own + [(name, value) for name, value in SAFE if name not in named]


def page_policy(page: bytes) -> str:
    """The content security policy of one of our pages: its own scripts and styles, by hash, and requests to this
    service.
    """
    scripts, styles = (_hashes(page, tag) for tag in (b"script", b"style"))
    rest = "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return f"default-src 'none'; script-src {scripts}; style-src {styles}; {rest}"


def _hashes(page: bytes, tag: bytes) -> str:
    found = re.findall(rb"<%b[^>]*>(.*?)</%b>" % (tag, tag), page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(one).digest()).decode() for one in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
