"""What a user names to be planned."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class Source(Struct, frozen=True):
    """What the user named: a file, overlays merged over it, values for its inputs, and which environment."""

    file: Path
    overlays: tuple[Path, ...] = ()
    inputs: dict[str, str] = {}
    environment: str = ""  # instead of the one that the file names
    retire: bool = False  # what the file no longer asks for may be destroyed
    replace: tuple[str, ...] = ()  # servers that may be destroyed and created anew; "all" stands for all
    reinstall: tuple[str, ...] = ()  # task services, or servers, whose installs are done again; "all" stands for all
    adopt: tuple[str, ...] = ()  # servers of other stores that the environment takes over
    other_account: bool = False  # servers in an account that a provider is not any more stay there
