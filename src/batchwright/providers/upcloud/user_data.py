"""The first boot of a server: as on other clouds, without what would contradict the host key that it is given. Pure."""

from __future__ import annotations

import re

from batchwright.providers import user_data as shared

_ADDRESS = ("http://", "https://")
_STARTS = ("#!", "#cloud-config", "#include", *_ADDRESS)
_OWN_KEYS = re.compile(r"^(ssh_keys|ssh_deletekeys|merge_how|merge_type)\s*:", re.MULTILINE)


def against(user_data: str) -> str:
    """Why this cannot be given to a server; empty where it can."""
    first = user_data.lstrip()
    if first and not first.startswith(_STARTS):
        return "it is neither a script (#!), nor #cloud-config, nor #include, nor the address of one of these"
    if first.startswith("#cloud-config") and (own := _OWN_KEYS.search(user_data)):
        return f"its {own.group(1)} would contradict the host key that Batchwright gives the server"
    return ""


def combined(user_data: str, private: str, public: str, boundary: str) -> str:
    """The user's own part, then ours; the same text for the same input."""
    if user_data.lstrip().startswith(_ADDRESS):
        user_data = f"#include\n{user_data}"  # alone UpCloud would fetch it, beside another part cloud-init has to
    return shared.combined(user_data, (), private, public, boundary)
