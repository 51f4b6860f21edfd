"""Loads queries from files: one statement each, named after what it does."""

from __future__ import annotations

from importlib import resources


def load(package: str, suffix: str) -> dict[str, str]:
    """The text of each file of `package`/queries with this suffix, by the file's bare name."""
    folder = resources.files(package).joinpath("queries")
    return {
        entry.name.removesuffix(suffix): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(suffix)
    }
