"""Labels of servers: Batchwright's own, those of the workflow file, and everybody else's. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def is_mark(label: str) -> bool:
    """Whether a label is one of those that mark a server as ours, and not the user's."""
    return label.startswith("batchwright-")


def without_marks(labels: Mapping[str, str]) -> dict[str, str]:
    """All labels but those that mark a server as ours."""
    return {key: value for key, value in labels.items() if not is_mark(key)}


def labels_named(labels: Mapping[str, str] | None, *asked: Mapping[str, str]) -> dict[str, str] | None:
    """Those labels of a server whose names were asked for; the others are somebody else's. None if nobody shows them.

    >>> labels_named({"tier": "db", "cost": "7"}, {"tier": "web"})
    {'tier': 'db'}
    """
    return None if labels is None else {key: value for key, value in labels.items() if any(key in one for one in asked)}


def labels_after(found: Mapping[str, str], wanted: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """The labels of a server after a change: those of others stay, and so do the run's and the token's.

    >>> labels_after({"batchwright-run": "r", "a": "1", "cost": "7"}, {"b": "2"}, {"a": "1"})
    {'batchwright-run': 'r', 'cost': '7', 'b': '2'}
    """
    kept = {key: value for key, value in found.items() if is_mark(key) or key not in before or key in wanted}
    return kept | without_marks(wanted)


def label_text(labels: Mapping[str, str]) -> str:
    """Labels as people read them: "team=a, tier=web"; "none" without any."""
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or "none"
