"""C8: what of `user_data` a server would pass over, told before it is made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from batchwright.loader import load
from batchwright.loader.user_data_checks import warnings
from batchwright.model.diagnostic import Severity

START, CRLF, CONFIG, KIND = "user-data-start", "user-data-crlf", "user-data-config", "user-data-kind"


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("#!/bin/sh\necho\n", []),
        ("#!/bin/sh", []),
        ("#cloud-config\n", []),
        ("#cloud-config\npackages: [git]\nruncmd:\n- {a: 1}\n", []),
        ("#Cloud-Config\na: &x 1\nb: *x\n", []),
        ("## template: jinja\n#cloud-config\na: {{ v1.region }}\n", []),
        ("#include\nhttps://example.org/x\n", []),
        ('Content-Type: multipart/mixed; boundary="x"\n', []),
        ('{"ignition": {"version": "3.4.0"}}', []),
        ("\n#!/bin/sh\n", [START]),
        ("  #!/bin/sh\n", [START]),
        ("\n\n#cloud-config\na: 1\n", [START]),
        ("\ufeff#!/bin/sh\n", [START]),
        ("#!/bin/sh\r\necho\r\n", [CRLF]),
        ("\r\n#!/bin/sh\r\n", [START, CRLF]),
        ("#cloud-config\na: [1\n", [CONFIG]),
        ("#cloud-config\npackages:\n\t- git\n", [CONFIG]),
        ("#cloud-config\na: 1\na: 2\n", [CONFIG]),
        ("#cloud-config\njust words\n", [CONFIG]),
        ("#cloud-config\n" + "[" * 5000, [CONFIG]),
        ("# cloud-config\na: 1\n", [KIND]),
        ("#cloud_config\na: 1\n", [KIND]),
        ("#cloudconfig\na: 1\n", [KIND]),
        ("#clound-config\na: 1\n", [KIND]),
        ("packages: [git]\n", [KIND]),
        ("echo hello\n", [KIND]),
        ("# a comment\n#!/bin/sh\n", [KIND]),
    ],
)
def test_what_is_doubtful(text: str, codes: list[str]) -> None:
    """C8"""
    assert [one.code for one in warnings(text)] == codes


def test_a_misspelt_cloud_config_is_told_how_it_is_written() -> None:
    """C8"""
    assert [one.hint for one in warnings("# cloud-config\na: 1\n")] == ["Did you mean `#cloud-config`?"]
    (found,) = warnings("#cloud-config\na: 1\nb: [\n")
    assert "line 4" in found.message


def test_it_is_a_warning_at_its_place(tmp_path: Path) -> None:
    """C8: a workflow is used all the same; of many servers it is told once."""
    servers = [{"name": f"w{n}", "plan": "p", "zone": "z", "user_data": "\n#!/bin/sh\n"} for n in range(3)]
    batch = {"id": "a", "type": "server_batch", "provider": "upcloud", "server_configs": servers}
    text = json.dumps({"batch_workflow": {"name": "x", "version": "1", "operations": [batch]}})
    file = tmp_path / "flow.json"
    file.write_text(text)
    loaded = load(file)
    assert loaded.workflow is not None
    (found,) = loaded.diagnostics
    assert (found.code, found.severity, found.file) == (START, Severity.WARNING, os.fspath(file))
    assert (found.line, found.column) == (1, text.index('"\\n#!') + 1)
    assert found.notes == ("This occurs in 3 places.",)
