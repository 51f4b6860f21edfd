"""Which service a command talks to, if any."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.fake_service import Answer, FakeService, fake_service

from batchwright.app.settings import Settings
from batchwright.client import discovery
from batchwright.client.discovery import service_for
from batchwright.errors import ConfigInvalid, UsageError

NAMED, OTHER = "http://named:1", "http://other:2"


def chosen(home: Path, url: str | None = None, state_dir: Path | None = None, **environ: str) -> str | None:
    service = service_for({"HOME": str(home), **environ}, url=url, state_dir=state_dir)
    return service.url if service else None


def configure(home: Path, text: str) -> None:
    folder = home / ".config" / "batchwright"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(text)


@pytest.fixture(autouse=True)
def nothing_on_the_default_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "DEFAULT_URL", "http://127.0.0.1:1")


def test_the_more_explicit_name_counts(tmp_path: Path) -> None:
    assert chosen(tmp_path) is None
    configure(tmp_path, f'url = "{OTHER}/"')
    assert chosen(tmp_path) == OTHER
    assert chosen(tmp_path, BATCHWRIGHT_URL=NAMED) == NAMED
    assert chosen(tmp_path, url="http://flag:3", BATCHWRIGHT_URL=NAMED) == "http://flag:3"
    assert chosen(tmp_path, state_dir=tmp_path, BATCHWRIGHT_URL=NAMED) is None
    with pytest.raises(UsageError, match="--url and --state-dir"):
        chosen(tmp_path, url=NAMED, state_dir=tmp_path)


@pytest.mark.parametrize("text", ["url = 9090", "url = ", "\x00", "service = 1"])
def test_a_config_file_with_a_mistake_is_told(tmp_path: Path, text: str) -> None:
    configure(tmp_path, text)
    with pytest.raises(ConfigInvalid, match=r"config\.toml"):
        chosen(tmp_path)


@pytest.mark.parametrize("around", ["{}\n", " {}", "\t{}\r\n"])
def test_blanks_around_an_address_and_a_token_are_dropped(tmp_path: Path, around: str) -> None:
    """F6: a file that is read into a variable ends with a newline."""
    with fake_service() as fake:
        fake.on("GET", "/health", {})
        environ = {"BATCHWRIGHT_URL": around.format(fake.url), "BATCHWRIGHT_TOKEN": around.format("bw_secret")}
        service = service_for({"HOME": str(tmp_path), **environ})
        assert service is not None
        service.health()
        assert fake.asked[0].headers["authorization"] == "Bearer bw_secret"


@pytest.mark.parametrize("token", ["bw_se\ncret", "bw_se cret", "bw_s\u00e9cret", "bw_\x7fsecret", "bw_se\0cret"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(tmp_path: Path, token: str) -> None:
    """F6: by the name of the variable."""
    with pytest.raises(UsageError, match="BATCHWRIGHT_TOKEN contains whitespace") as caught:
        chosen(tmp_path, BATCHWRIGHT_URL=NAMED, BATCHWRIGHT_TOKEN=token)
    assert "cret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "url", ["localhost:9090", "ftp://host", "http://", "http://host:99999", "http://a:s3cr@host", "http://[::1"]
)
def test_what_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    """F6: by the name of what holds it; its value, which may hold a password, is not shown."""
    for source, given in (("--url", {"url": url}), ("BATCHWRIGHT_URL", {"BATCHWRIGHT_URL": url})):
        with pytest.raises(UsageError, match=f"^{source} is not the address of a service$") as caught:
            chosen(tmp_path, **given)
        assert "s3cr" not in caught.value.hint
    with pytest.raises(UsageError, match="--url contains whitespace"):
        chosen(tmp_path, url="http://host/a b")


def probed(monkeypatch: pytest.MonkeyPatch, fake: FakeService, folder: Path, answer: object) -> str | None:
    monkeypatch.setattr(discovery, "DEFAULT_URL", fake.url)
    fake.on("GET", "/health", answer)
    return chosen(folder, state_dir=folder / "state", BATCHWRIGHT_TOKEN="secret")


def test_the_default_address_counts_only_where_it_serves_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = tmp_path / "state", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    with fake_service() as fake:
        assert probed(monkeypatch, fake, tmp_path, {"state": Settings(own).identity()}) == fake.url
        assert probed(monkeypatch, fake, tmp_path, {"state": Settings(other).identity()}) is None
        for strange in ({"state": ""}, {}, [], Answer(b"hello", type="text/plain"), Answer(b"", 401)):
            assert probed(monkeypatch, fake, tmp_path, strange) is None
        assert all("authorization" not in one.headers for one in fake.asked)
        own.rmdir()
        asked = len(fake.asked)
        assert probed(monkeypatch, fake, tmp_path, {"state": ""}) is None
        assert len(fake.asked) == asked  # a folder that does not exist is served by nobody


def test_a_folder_is_the_same_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "state")
    assert Settings(tmp_path / "link").identity() == Settings(tmp_path / "state").identity() != ""
    assert Settings(tmp_path / "nowhere").identity() == ""
