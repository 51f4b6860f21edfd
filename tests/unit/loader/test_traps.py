"""C6: suffixes and characters that are not what they look like."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from batchwright.loader import load
from tests.unit.loader.test_load import MINIMAL, loaded, valid


@pytest.mark.parametrize("name", ["flow.YAML", "flow.Yml", "flow.JSON", "flow.Json"])
def test_a_suffix_in_upper_case_is_the_same_format(name: str, tmp_path: Path) -> None:
    """C6: Nickel alone reads it as Nickel."""
    assert valid(tmp_path, json.dumps(MINIMAL), name) == valid(tmp_path, MINIMAL)
    text = json.dumps(MINIMAL) if "J" in name else yaml.safe_dump(MINIMAL)
    assert valid(tmp_path, text, name) == valid(tmp_path, MINIMAL)
    overlaid = tmp_path / "more.YAML"
    overlaid.write_text("batch_workflow: {parallel_limit: 7}")
    assert (load(tmp_path / name, overlays=[overlaid]).workflow or valid(tmp_path, MINIMAL)).parallel_limit == 7


@pytest.mark.parametrize(("name", "form"), [("part.YAML", "Yaml"), ("part.Json", "Json"), ("part.TXT", "Text")])
def test_an_import_of_such_a_file_says_how_it_is_written(name: str, form: str, tmp_path: Path) -> None:
    """C6: Nickel reads it as Nickel, and a scanner that does not would see no import in it."""
    (tmp_path / name).write_text('{ a = import "/etc/passwd" }')
    (found,) = loaded(tmp_path, f'let _x = import "{name}" in {{}}', "flow.ncl").diagnostics
    assert (found.code, found.column) == ("unknown-format", 17)
    assert found.hint == f'Write: import "{name}" as \'{form}'
    (tmp_path / "flow.ncl").unlink()
    found, *_ = loaded(tmp_path, f'let _x = import "{name}" as \'Nickel in {{}}', "flow.ncl").diagnostics
    assert (found.code, Path(found.file).name) == ("import-refused", name)


def test_what_cannot_be_seen_is_shown_as_an_escape(tmp_path: Path) -> None:
    """C6: a NUL looked like a blank, and what turns the line around like nothing."""
    whole = {"batch_workflow": {**MINIMAL["batch_workflow"], "name": "a\u0000b\u202ec\u0085"}}
    (found,) = loaded(tmp_path, whole).diagnostics
    assert '"a\\u{0}b\\u{202e}c\\u{85}"' in found.message


PRIVATE = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEAsecretsecretsecret\n-----END RSA PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    "wrong",
    [
        *({"provider": PRIVATE}, {"id": PRIVATE}, {"type": PRIVATE}, {PRIVATE: 1}, {"server_configs": PRIVATE}),
        *({"on_failure": PRIVATE}, {"timeout": PRIVATE}, {"dependencies": [PRIVATE]}, {"dependencies": PRIVATE}),
        *(
            {"server_configs": [{"name": "a", "plan": "p", "zone": "z", field: value}]}
            for field, value in (
                *(("ssh_keys", [PRIVATE]), ("ssh_keys", PRIVATE), ("name", PRIVATE), ("plan", PRIVATE)),
                *(("labels", {PRIVATE: "x"}), ("labels", PRIVATE), ("labels", {"ab": PRIVATE * 9}), (PRIVATE, 1)),
            )
        ),
    ],
)
def test_a_private_key_is_repeated_nowhere(wrong: dict[str, object], tmp_path: Path) -> None:
    """C4: whatever field it was put into, and whatever is wrong with that."""
    batch = {**MINIMAL["batch_workflow"]["operations"][0], **wrong}  # type: ignore[index,dict-item]
    whole = {"batch_workflow": {"name": "x", "version": "1", "operations": [batch]}}
    told = loaded(tmp_path, whole).diagnostics
    assert told
    assert not [one for one in told if "secretsecret" in f"{one.message}{one.hint}{one.notes}"]


@pytest.mark.parametrize(
    "use", ["nul 1", "nul.x", "nul + 1", "nul & 1", "(nul | String)", "{ a = nul nul }", "[nul] @ nul"]
)
def test_what_is_done_with_a_name_that_nobody_defines_has_no_place_of_its_own(use: str, tmp_path: Path) -> None:
    """Point 7: the definition that was put above the file was blamed, at line 0."""
    told = loaded(tmp_path, f"# a comment\n({use})\n", "flow.ncl").diagnostics
    assert ("unbound-name", 2) in [(one.code, one.line) for one in told]
    assert all(one.line > 0 for one in told)
