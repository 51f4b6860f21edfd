"""What `rollback --plan` says of each line. The journal's words are identifiers, the terminal's are a sentence's."""

from __future__ import annotations

import pytest

from batchwright.cli.view_printer import show_preview
from batchwright.engine.rollback_preview import PlannedUndo, UndoKind

SAID = {
    UndoKind.DESTROY: "destroy it",
    UndoKind.RELEASE: "release it",
    UndoKind.REMOVE: "remove it",
    UndoKind.RESTORE: "restore it",
    UndoKind.FINISH: "finish the removal that has begun: it",
    UndoKind.GONE: "is gone and cannot be brought back",
    UndoKind.RUN: "run it",
    UndoKind.WITH_SERVER: "goes with its server",
    UndoKind.STAYS: "stays",
    UndoKind.KEEP: "keep it",
    UndoKind.BLOCKED: "cannot destroy: attached is it",
    UndoKind.UNKNOWN: "what is attached is unknown",
}


@pytest.mark.parametrize("kind", UndoKind)
def test_each_kind_has_its_words(kind: UndoKind, capsys: pytest.CaptureFixture[str]) -> None:
    show_preview("r1", [PlannedUndo("make/web", "local", kind, ref="it", note="why")])
    assert capsys.readouterr().out.splitlines()[1].strip() == f"make/web  local: {SAID[kind]}  (why)"
