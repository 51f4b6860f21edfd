"""The line that repeats a command has every option that decides what is planned."""

from __future__ import annotations

from pathlib import Path

from batchwright.app.workflow_source import Source
from batchwright.cli.plan import again

EVERYTHING = Source(
    Path("my file.ncl"),
    (Path("over.ncl"),),
    {"size": "3 GB"},
    "prod",
    True,
    ("web-1", "all"),
    ("nginx",),
    ("db-1",),
    True,
)


def test_every_option_is_repeated_and_quoted() -> None:
    plain = Source(Path("my file.ncl"))
    left_out = [key for key in Source.__struct_fields__[1:] if getattr(EVERYTHING, key) == getattr(plain, key)]
    assert left_out == [], "the example shall set every field"
    assert again(EVERYTHING, simulate=True, sim=["seed=7"], catalogue=[Path("more")]) == (
        "'my file.ncl' --simulate --retire --other-account --env prod --replace web-1 --replace all --reinstall nginx "
        "--adopt db-1 --sim seed=7 --overlay over.ncl --set 'size=3 GB' --catalogue more"
    )
    assert again(plain, simulate=False, sim=None, catalogue=None) == "'my file.ncl'"
