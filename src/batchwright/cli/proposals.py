"""The commands for proposed changes: proposals, proposals approve, proposals refuse."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir
from batchwright.cli.output import print_json, say
from batchwright.cli.target import Url, chosen
from batchwright.views.proposal import proposal_words

app = typer.Typer(help="Changes that somebody proposed, and that somebody else approves or refuses.")

Digest = Annotated[str, typer.Argument(metavar="HASH", help="The hash of the proposal, or its beginning.")]
Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why, for everybody who looks.")]


@app.command("list")
def list_proposals(state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False) -> int:
    """What was proposed, by whom, what it would do, and who has decided."""
    with chosen(url, state_dir) as client:
        found = client.proposals.all()
    if json:
        print_json({"proposals": found})
        return Exit.OK
    for one in found:
        for line in proposal_words(one, time.time()):
            say(line)
    if not found:
        say("nothing is proposed now")
    return Exit.OK


@app.command("approve")
def approve(
    digest: Digest,
    comment: Comment = "",
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Approve a proposal of somebody else, who can then carry it out."""
    return _decide(digest, comment, state_dir, url, yes=True, json=json)


@app.command("refuse")
def refuse(
    digest: Digest,
    comment: Comment = "",
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Refuse a proposal of somebody else."""
    return _decide(digest, comment, state_dir, url, yes=False, json=json)


def _decide(digest: str, comment: str, state_dir: Path | None, url: str | None, *, yes: bool, json: bool) -> int:
    with chosen(url, state_dir) as client:
        decided = client.proposals.decide(digest, yes=yes, comment=comment)
    if json:
        print_json(decided)
    else:
        say(f"{decided.state} {decided.hash}: {decided.lines[0]}")
    return Exit.OK
