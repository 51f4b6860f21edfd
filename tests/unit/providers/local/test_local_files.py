"""Files that outlive crashes, key pairs, and claims of addresses: real files, many at once."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from batchwright import durable_files
from batchwright.providers import generated_ssh_keys
from batchwright.providers.local import addresses, processes
from batchwright.providers.local.addresses import Claim


def test_a_file_is_replaced_as_a_whole_and_what_a_killed_writer_left_is_no_hindrance(tmp_path: Path) -> None:
    place = tmp_path / "file"
    (tmp_path / "file.new").write_text("half")
    durable_files.write(place, b"one")
    durable_files.write(place, b"two", 0o644)
    assert place.read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert place.stat().st_mode & 0o777 == 0o644 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with durable_files.alone(tmp_path), pytest.raises(durable_files.FolderHeld), durable_files.alone(tmp_path, 0):
        pass
    with durable_files.alone(tmp_path, 0):
        pass


def test_a_folder_that_was_replaced_meanwhile_is_not_held(tmp_path: Path) -> None:
    place = tmp_path / "server"
    with pytest.raises(FileNotFoundError), durable_files.alone(place):
        pass
    place.mkdir()

    def wait_for_it() -> None:
        with durable_files.alone(place):
            pass

    with ThreadPoolExecutor() as pool:
        with durable_files.alone(place):
            waiting = pool.submit(wait_for_it)
            while len(_descriptors_of(place)) < 2:  # it has opened the folder, and waits
                assert not waiting.done()
            place.rename(tmp_path / "old")
            place.mkdir()
        with pytest.raises(FileNotFoundError):
            waiting.result(30)


def _descriptors_of(place: Path) -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found += [link.name] if link.readlink() == place else []
        except OSError:  # closed meanwhile
            continue
    return found


def test_a_descriptor_that_was_inherited_goes_on_holding(tmp_path: Path) -> None:
    """What a killed process's launcher relies on."""
    with durable_files.alone(tmp_path) as holder:
        heir = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(holder,))
    with pytest.raises(durable_files.FolderHeld), durable_files.alone(tmp_path, 0):
        pass
    heir.communicate()
    with durable_files.alone(tmp_path, 0):
        pass


def test_all_who_want_a_runs_key_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        pairs = set(pool.map(lambda _: generated_ssh_keys.run_key(tmp_path / "state", "run"), range(16)))
    (pair,) = pairs
    assert pair.path.stat().st_mode & 0o777 == 0o600
    assert pair.public.startswith("ssh-ed25519 AAAA")
    assert pair.public == generated_ssh_keys.public_of(pair.path.read_bytes())
    assert generated_ssh_keys.run_key(tmp_path / "state", "other").public != pair.public
    assert [path.name for path in pair.path.parent.iterdir()] == ["id_ed25519"]


def test_servers_that_are_made_at_once_get_an_address_each(tmp_path: Path) -> None:
    claims, folders = tmp_path / "claims", [tmp_path / f"server{n}" for n in range(30)]
    for folder in [claims, *folders]:
        folder.mkdir()
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda folder: addresses.claim(folder, "127.77", 5, claims=claims), folders))
    assert len(set(got)) == 30
    assert addresses.claimed(claims) == {address: str(folder) for address, folder in zip(got, folders, strict=True)}
    assert addresses.claim(folders[3], "127.77", 9, claims=claims) == got[3]
    addresses.release(folders[3], claims)
    assert got[3] not in addresses.claimed(claims)
    assert addresses.claim(folders[3], "127.77", 9, got[3], claims) == got[3]


def test_a_claim_is_stale_when_its_server_and_its_maker_are_gone(tmp_path: Path) -> None:
    claims, folder = tmp_path / "claims", tmp_path / "server"
    claims.mkdir()
    folder.mkdir()
    first = next(addresses.candidates("127.77", 0))
    mine = processes.started_at(os.getpid())
    assert mine is not None
    (claims / first).write_bytes(msgspec.json.encode(Claim(str(tmp_path / "gone"), os.getpid(), mine)))
    assert addresses.claim(folder, "127.77", 0, claims=claims) != first  # its maker lives: the folder is about to be
    addresses.release(folder, claims)
    (claims / first).write_bytes(msgspec.json.encode(Claim(str(tmp_path / "gone"), os.getpid(), mine - 1)))
    assert addresses.claim(folder, "127.77", 0, claims=claims) == first  # that number is another process now
    (claims / "127.77.9.9").write_bytes(b"half")  # its writer was killed
    addresses.claim(folder, "127.77", 0, claims=claims)
    assert [path.name for path in claims.iterdir()] == [first]


def test_a_process_is_known_by_its_start() -> None:
    started = processes.started_at(os.getpid())
    assert started is not None
    assert processes.is_alive(os.getpid(), started)
    assert not processes.is_alive(os.getpid(), started + 1)
    with subprocess.Popen(["true"]) as done:
        os.waitid(os.P_PID, done.pid, os.WEXITED | os.WNOWAIT)
        assert processes.started_at(done.pid) is None  # it only waits to be reaped
    assert processes.started_at(2**22 + 5) is None


def test_what_was_started_for_a_server_is_found_and_ended() -> None:
    with subprocess.Popen(["sleep", "600"], env={"BATCHWRIGHT_SERVER": "local-test", "PATH": "/usr/bin:/bin"}) as other:
        while processes.started_for("local-test") != [other.pid]:  # it is still the copy of this one
            assert other.poll() is None
        assert processes.started_for("local-tes") == []
        assert processes.end_all("local-test", 30)
        assert other.wait(30) == -9
