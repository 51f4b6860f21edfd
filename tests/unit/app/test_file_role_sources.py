"""What roles read from files that anybody may have written."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.app.file_role_sources import read_rehearsal
from batchwright.errors import UsageError


@pytest.mark.parametrize("content", [b'{"x": ' + b"[" * 100_000, b'{"workflow": "\xff"}', b"[]"])
def test_what_is_no_report_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(UsageError, match="no report of a rehearsal"):
        read_rehearsal(tmp_path / "report.json")
