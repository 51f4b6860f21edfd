"""What is said of an account about servers of one name that several stores may create in it."""

from __future__ import annotations

from batchwright.views.text_format import duration


def exclusivity_words(exclusive: bool, visible_seconds: float, promised: bool) -> str:
    """What is assumed; empty if nothing is."""
    if exclusive:
        return "exclusive: no other store creates servers in this account, so a new one is used as soon as it is ready"
    if visible_seconds and not promised:
        return (
            f"a new server is used once a listing after {duration(visible_seconds)} shows no other of its name; the"
            " cloud does not promise that its listings are complete by then"
        )
    return ""
