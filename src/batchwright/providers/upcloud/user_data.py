"""What a new server is told at its first boot: the host key it shows, so that nobody has to trust at first sight, and
whatever the user wants it to do. Pure."""

from __future__ import annotations

import re
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32

_LITERAL = compat32.clone(mangle_from_=False)  # else a line that begins with "From " would be changed
_OWN_KEYS = re.compile(r"^(ssh_keys|ssh_deletekeys|merge_how|merge_type)\s*:", re.MULTILINE)


def kind_of(user_data: str) -> str | None:
    """The part's type for cloud-init; None where it is nothing that can stand beside another part."""
    first = user_data.lstrip()
    for start, kind in (("#!", "x-shellscript"), ("#cloud-config", "cloud-config"), ("#include", "x-include-url")):
        if first.startswith(start):
            return kind
    return "x-include-url" if first.startswith(("http://", "https://")) else None


def against(user_data: str) -> str:
    """Why this cannot be given to a server; empty where it can."""
    if not user_data.strip():
        return ""
    kind = kind_of(user_data)
    if kind is None:
        return "it is neither a script (#!), nor #cloud-config, nor #include, nor the address of one of these"
    if kind == "cloud-config" and (own := _OWN_KEYS.search(user_data)):
        return f"its {own.group(1)} would contradict the host key that Batchwright gives the server"
    return ""


def combined(user_data: str, private: str, public: str, boundary: str) -> str:
    """The host key, then the user's own part; the same text for the same input."""
    whole = MIMEMultipart(boundary=boundary)
    whole.attach(_part(_host_key(private, public), "cloud-config"))
    if user_data.strip():
        whole.attach(_part(user_data, kind_of(user_data) or "x-shellscript"))
    return whole.as_string(policy=_LITERAL)


def _part(text: str, kind: str) -> MIMEText:
    return MIMEText(text, kind, "utf-8" if not text.isascii() else "us-ascii")


def _host_key(private: str, public: str) -> str:
    head = ["#cloud-config", "ssh_deletekeys: true", "ssh_keys:", "  ed25519_private: |"]
    key = [f"    {line}" for line in private.strip().splitlines()]
    return "\n".join([*head, *key, f"  ed25519_public: {public}", ""])
