"""Long runs of one character, which a pattern with two ways to read them would try in all combinations: for hours."""

from __future__ import annotations

import pytest

from batchwright.app.definition_list_text import with_fields
from batchwright.loader import nickel_scanner
from batchwright.providers.upcloud.catalog import short_name
from batchwright.providers.user_data import contradiction

MANY = 300_000


@pytest.mark.parametrize("run", ["_", "'", "a-s", "m%", "'_", "0", "1.", "%", " ", '"', "a'"])
def test_a_workflow_text(run: str) -> None:
    tokens = list(nickel_scanner.tokens(run * MANY))
    assert len(tokens) <= 2 * MANY + 1


@pytest.mark.parametrize("run", ["\n", " ", "\t", "{", "\n ", "ssh_keys ", "ssh_deletekeys :"])
def test_the_user_data_of_a_server(run: str) -> None:
    """Lines without a key say nothing, and the key after them is seen."""
    assert contradiction(f"#cloud-config\n{run * MANY}\n") == "" or "ssh" in run
    assert "ssh_keys" in contradiction("#cloud-config\n" + "\n" * MANY + "  ssh_keys: {}\n")


def test_the_name_of_an_image() -> None:
    assert short_name("Debian GNU/Linux 12 (Bookworm)" + "(" * MANY).startswith("debian-12")


def test_a_line_of_yaml_that_is_edited() -> None:
    piece = f"- name: web{' ' * MANY}\x0b# \n  plan: 1xCPU-1GB{' ' * MANY}# small\n"
    edited = with_fields(piece, "shop.yaml", {"plan": "2xCPU-4GB"})
    assert edited == piece.replace("1xCPU-1GB", '"2xCPU-4GB"')
