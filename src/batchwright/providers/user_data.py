"""The first-boot data of a server: its host key, so that no key has to be trusted on first use, more keys that may log
in, and the user's own part. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

_KEY = "\n".join(["x" * 70] * 7)  # a private key is no longer than this

_KINDS = (
    ("#!", "x-shellscript"),
    ("#cloud-config", "cloud-config"),
    ("#include", "x-include-url"),
    ("#cloud-boothook", "cloud-boothook"),
    ("## template: jinja", "jinja2"),
)
_OWN_KEYS = re.compile(
    r"""^[ \t]*(?:\{[ \t]*)?["']?(ssh_keys|ssh_deletekeys(?!["']?\s*:\s*true\b)|merge_how|merge_type)["']?\s*:""",
    re.MULTILINE,
)
# the user's lists are added to
_MERGE = "list(append)+dict(no_replace,recurse_list)+str()"


def kind_of(user_data: str) -> str | None:
    """The part's type for cloud-init; None where cloud-init would not know what to do with it."""
    first = user_data.lstrip()
    return next((kind for start, kind in _KINDS if first.startswith(start)), None)


def contradiction(user_data: str) -> str:
    """Why this would overwrite the host key that the server gets; empty if it would not."""
    told = kind_of(user_data) in ("cloud-config", "jinja2")
    own = _OWN_KEYS.search(user_data) if told else None
    return f"its {own.group(1)} would overwrite the host key that Batchwright gives the server" if own else ""


def against(user_data: str, ssh_keys: Sequence[str], bytes_max: int, cloud: str) -> str:
    """Why this cannot be given to a server of a cloud that takes so many bytes; empty where it can."""
    if user_data.strip() and kind_of(user_data) is None:
        return "it begins with none of: " + ", ".join(start for start, _ in _KINDS)
    if why := contradiction(user_data):
        return why
    over = len(combined(user_data, ssh_keys, _KEY, "x" * 100, "x" * 40)) - bytes_max
    return (
        f"with the keys that go with it, it is {over} bytes longer than the {bytes_max} of {cloud}" if over > 0 else ""
    )


def combined(user_data: str, ssh_keys: Sequence[str], private: str, public: str, boundary: str) -> str:
    """The user's own part, then ours; the same text for the same input, whatever the process."""
    whole = MIMEMultipart(boundary=boundary)
    if user_data.strip():
        whole.attach(_part(user_data, kind_of(user_data) or "x-shellscript"))
    ours = _part(_config(ssh_keys, private, public), "cloud-config")
    ours["Merge-Type"] = _MERGE
    whole.attach(ours)
    return whole.as_string()


def _part(text: str, kind: str) -> MIMEText:
    if text.isascii():
        part = MIMEText("", kind, "us-ascii")
        part.set_payload(text)  # as it is: base64 would take a third more of the little room
        return part
    return MIMEText(text, kind, "utf-8")


def _config(ssh_keys: Sequence[str], private: str, public: str) -> str:
    lines = ["#cloud-config", "ssh_deletekeys: true", "ssh_keys:", "  ed25519_private: |"]
    lines += [f"    {line}" for line in private.strip().splitlines()]
    lines += [f"  ed25519_public: {json.dumps(public)}"]
    if ssh_keys:
        lines += ["ssh_authorized_keys:", *[f"  - {json.dumps(key)}" for key in ssh_keys]]
    return "\n".join([*lines, ""])
