"""The first boot of a server: as on other clouds, without what would contradict the host key that it is given. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from batchwright.providers import user_data as shared

_ADDRESS = ("http://", "https://")
_STARTS = ("#!", "#cloud-config", "#include", *_ADDRESS)


def against(user_data: str) -> str:
    """Why this cannot be given to a server; empty where it can."""
    first = user_data.lstrip()
    if first and not first.startswith(_STARTS):
        return "it is neither a script (#!), nor #cloud-config, nor #include, nor the address of one of these"
    return shared.contradiction(user_data)


def combined(user_data: str, private: str, public: str, boundary: str, let_in: Sequence[str] = ()) -> str:
    """The user's own part, then ours; the same text for the same input. `let_in` are keys that cloud-init lets in."""
    if user_data.lstrip().startswith(_ADDRESS):
        user_data = f"#include\n{user_data}"  # alone UpCloud would fetch it, beside another part cloud-init has to
    return shared.combined(user_data, let_in, private, public, boundary)
