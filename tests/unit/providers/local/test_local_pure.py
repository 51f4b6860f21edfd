"""The parts of the local provider that only compute: plans, names, addresses, records, command lines, modes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.model.ids import Token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.local import (
    addresses,
    base_tree_contents,
    boot_status,
    cgroups,
    config_checks,
    first_start_files,
    host_limits,
    records,
    sandbox_command,
    sizes,
)
from batchwright.providers.local.host_support import CAP_SYS_ADMIN, NONE, Signs, judge
from batchwright.providers.local.sandbox import last_lines

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def config(**more: object) -> ServerConfig:
    return ServerConfig(**{"name": "web", "plan": "1xCPU-1GB", "zone": "here", **more})  # type: ignore[arg-type]


def intent(mode: str = records.SYSTEM, network: str = "shared", user_data: str = "") -> records.Intent:
    request = ServerRequest(
        "web", "1xCPU-1GB", "here", user_data=user_data, resolved={"memory_mb": "1024", "network": network}
    )
    return records.Intent("local-abc", "run", "token", request, "127.77.1.2", 22, mode, 1.0)


# -- plans ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 1024), st.integers(64, 999_999))
def test_a_plan_in_megabytes_means_what_it_says(cpus: int, size: int) -> None:
    assert sizes.size_of(f"{cpus}xCPU-{size}MB") == sizes.Size(cpus, size)


@given(st.integers(1, 1024), st.integers(1, 1024))
def test_a_plan_in_gigabytes_means_1024_times_that(cpus: int, size: int) -> None:
    assert sizes.size_of(f"{cpus}xCPU-{size}GB") == sizes.Size(cpus, size * 1024)


@pytest.mark.parametrize(
    "plan",
    ["", "1xCPU", "0xCPU-1GB", "1xCPU-0GB", "1xCPU-63MB", "1xCPU-1TB", "1xCPU-1.5GB", "1xcpu-1GB", " 1xCPU-1GB",
     "1xCPU-1GB\n", "1xCPU-9999999GB", "2000xCPU-1GB"],
)  # fmt: skip
def test_other_words_are_no_plan(plan: str) -> None:
    assert sizes.size_of(plan) is None
    assert [problem.field for problem in config_checks.problems(config(plan=plan), "debian-12", True)] == ["plan"]


@given(words)
def test_any_word_is_a_plan_or_is_refused(word: str) -> None:
    size = sizes.size_of(word)
    assert size is None or size.memory_mb >= sizes.MEMORY_LEAST


@pytest.mark.parametrize(
    ("field", "value"),
    [("zone", "de-fra1"), ("image", "debian-11"), ("network", "private"), ("ssh_keys", ("my key.pub",)),
     ("ssh_keys", ("ssh-ed25519 AAAA\nssh-ed25519 BBBB",)), ("user_data", "#cloud-config\npackages: []"),
     ("user_data", "#!/bin/sh\n" + "x" * 70_000)],
)  # fmt: skip
def test_what_cannot_be_is_named_by_its_field(field: str, value: object) -> None:
    (problem,) = config_checks.problems(config(**{field: value}), "debian-12", True)
    if field == "user_data" and str(value).startswith("#cloud"):
        assert problem.code == "user-data-invalid"
    assert problem.field == field
    assert problem.message
    assert problem.hint


def test_what_can_be_has_no_problem() -> None:
    good = config(
        image="debian-12",
        network="own",
        ssh_keys=("ssh-ed25519 AAAA me@here",),
        user_data="#!/bin/sh\ntrue",
        zone="local",
    )
    assert config_checks.problems(good, "debian-12", True) == []
    assert [one.code for one in config_checks.problems(good, "debian-12", False)] == ["network-unavailable"]


# -- names and records ------------------------------------------------------------------------------------------


@given(words, words, words)
def test_a_reference_depends_on_account_run_and_token(account: str, run: str, value: str) -> None:
    ref = records.ref_of(account, Token(run, value))
    assert records.is_ref(ref)
    assert ref == records.ref_of(account, Token(run, value))
    assert ref != records.ref_of(f"{account}x", Token(run, value))
    assert len(ref.removeprefix(records.PREFIX)) == 12  # its link's name, bw and this, may have 15


@pytest.mark.parametrize("name", ["", "local-", "local-../x", "web", "local-a b", "account", "local-é"])
def test_other_names_are_no_references(name: str) -> None:
    assert not records.is_ref(name)


@given(st.builds(records.Intent, words, words, words, st.builds(ServerRequest, words, words, words), words,
                 st.integers(0, 65535), words, st.floats(0, 1e10)))  # fmt: skip
def test_an_intent_is_read_as_it_was_written(one: records.Intent) -> None:
    assert records.decode_intent(records.encode(one)) == one


@given(st.binary(max_size=60))
def test_a_damaged_intent_is_said_to_be_damaged(content: bytes) -> None:
    with pytest.raises(records.Damaged):
        records.decode_intent(content)
    assert records.decode_process(content) is None or content.lstrip().startswith(b"{")


@given(st.integers(0, 200))
def test_an_intent_cut_short_is_damaged(length: int) -> None:
    with pytest.raises(records.Damaged):
        records.decode_intent(records.encode(intent())[:length])


def test_a_tree_has_another_name_for_another_release_or_machine() -> None:
    bookworm = base_tree_contents.Release("debian", "12", "bookworm")
    names = {base_tree_contents.tree_name(bookworm, "x86_64"), base_tree_contents.tree_name(bookworm, "aarch64"),
             base_tree_contents.tree_name(base_tree_contents.Release("debian", "13", "trixie"), "x86_64")}  # fmt: skip
    assert len(names) == 3
    assert all(name.startswith(("bookworm-", "trixie-")) for name in names)


def test_the_release_is_the_machines() -> None:
    text = 'PRETTY_NAME="Ubuntu 24.04 LTS"\nID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n'
    assert base_tree_contents.release_of(text) == base_tree_contents.Release("ubuntu", "24.04", "noble")
    assert base_tree_contents.Release("ubuntu", "24.04", "noble").image == "ubuntu-24.04"
    assert base_tree_contents.release_of("ID=arch\n") is None


# -- what is given to a server, and the line that starts it -----------------------------------------------------


def test_a_server_with_a_service_manager_listens_where_it_should() -> None:
    files = first_start_files.seeds(intent(), ("ssh-ed25519 AAAA",), "PRIVATE", "nameserver 1.2.3.4\n")
    assert "ListenAddress 127.77.1.2\n" in files[first_start_files.SSHD_CONFIG].content
    assert files["root/.ssh/authorized_keys"] == first_start_files.FirstStartFile("ssh-ed25519 AAAA\n", 0o600)
    assert files["etc/ssh/ssh_host_ed25519_key"].mode == 0o600
    assert not any(boot_status.SCRIPT_UNIT in name for name in files)
    own = first_start_files.seeds(intent(network="own"), (), "", "")
    assert "ListenAddress 0.0.0.0\n" in own[first_start_files.SSHD_CONFIG].content


@pytest.mark.parametrize("mode", [records.SYSTEM, records.USER])
def test_user_data_is_a_program_that_runs_once(mode: str) -> None:
    files = first_start_files.seeds(intent(mode, user_data="#!/bin/sh\necho hello\n"), (), "", "")
    assert files[first_start_files.SCRIPT.lstrip("/")] == first_start_files.FirstStartFile(
        "#!/bin/sh\necho hello\n", 0o700
    )
    starts = [one.content for name, one in files.items() if name.endswith((boot_status.SCRIPT_UNIT, "/first"))]
    assert any(f"{first_start_files.SCRIPT}.done" in content for content in starts)


def test_what_is_planted_covers_the_tree_and_keeps_its_modes(tmp_path: Path) -> None:
    for _ in range(2):  # a killed create plants again
        first_start_files.plant(tmp_path, first_start_files.seeds(intent(), ("key",), "PRIVATE", ""))
    assert (tmp_path / "root/.ssh").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "etc").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "etc/ssh/ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants" / boot_status.READY_UNIT
    assert str(wants.readlink()) == f"/etc/systemd/system/{boot_status.READY_UNIT}"


def test_the_line_of_a_system_server_keeps_the_machine_out_of_reach() -> None:
    groups = [(Path("/sys/fs/cgroup/pids/batchwright-x"), Path("/sys/fs/cgroup/pids"))]
    tools = sandbox_command.Tools("/b/bwrap", "/b/setpriv")
    line = sandbox_command.system_command(tools, Path("/base"), Path("/s"), "web", groups, "")
    text = " ".join(line)
    assert line[:3] == ["/b/setpriv", "--bounding-set", "-sys_time,-sys_module,-sys_rawio"]
    for part in ("--ro-bind /proc/sys /proc/sys", "--ro-bind /sys /sys --tmpfs /sys/fs/cgroup", "--unshare-pid",
                 "--bind /sys/fs/cgroup/pids/batchwright-x /sys/fs/cgroup/pids", "--hostname web"):  # fmt: skip
        assert part in text
    assert "/proc/sys/net" not in text
    binds = [line[i + 1] for i, word in enumerate(line) if word == "--bind"]
    assert all(source.startswith(("/s/", "/sys/fs/cgroup/pids/batchwright-x")) for source in binds)
    own = sandbox_command.system_command(tools, Path("/base"), Path("/s"), "web", groups, "/run/netns/n")
    assert own[:3] == ["nsenter", "--net=/run/netns/n", "--"]


def test_one_v2_group_stands_for_all_of_them() -> None:
    groups = [(Path("/sys/fs/cgroup/batchwright-x"), Path("/sys/fs/cgroup"))]
    line = sandbox_command.system_command(sandbox_command.Tools("bwrap"), Path("/base"), Path("/s"), "web", groups, "")
    assert "--bind /sys/fs/cgroup/batchwright-x /sys/fs/cgroup" in " ".join(line)
    assert "--tmpfs /sys/fs/cgroup" not in " ".join(line)


def test_the_launcher_passes_words_as_they_are() -> None:
    line = sandbox_command.launcher(["bwrap", "a b", "$(c)"], [Path("/g")])
    assert line[:2] == ["/bin/sh", "-c"]
    assert line[3:] == ["sh", "/dev/null", "1", "/g/cgroup.procs", "bwrap", "a b", "$(c)"]


# -- addresses --------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.sets(st.integers(0, 40)))
def test_a_chosen_address_is_free_and_in_the_range(number: int, skipped: set[int]) -> None:
    some = [address for address, _ in zip(addresses.candidates("127.77", number), range(60), strict=False)]
    taken = {some[i] for i in skipped}
    chosen = addresses.choose("127.77", number, taken)
    assert chosen not in taken
    assert chosen == next(address for address in some if address not in taken)


def test_every_address_of_a_range_is_offered_once_and_none_ends_in_0_or_255() -> None:
    offered = list(addresses.candidates("198.19", 12345))
    assert len(set(offered)) == len(offered) == 254 * 254
    assert not any(address.endswith((".0", ".255")) for address in offered)
    assert not {"198.19.0.1", "198.19.255.254"} & set(offered)  # the lab's gateway and the machine
    with pytest.raises(addresses.NoAddress):
        addresses.choose("198.19", 0, set(offered))


@given(st.integers(0, 2**31))
def test_a_users_range_is_no_other_kind_of_address(uid: int) -> None:
    first, second = addresses.loopback_range(uid).split(".")
    assert first == "127"
    assert (second == "77") == (uid == 0)
    assert 77 <= int(second) <= 249


# -- the machine ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signs", "mode", "word"),
    [
        (Signs(linux=False), NONE, "Linux"),
        (Signs(bwrap=""), NONE, "bubblewrap"),
        (Signs(bwrap="/b"), records.SYSTEM, "systemd"),
        (Signs(bwrap="/b", ip=False), records.SYSTEM, "iproute2"),
        (Signs(bwrap="/b", memory=False), records.SYSTEM, "not enforced"),
        (Signs(bwrap="/b", capabilities=0), NONE, "container"),
        (Signs(bwrap="/b", capabilities=CAP_SYS_ADMIN, slirp=True), records.SYSTEM, "OpenSSH"),
        (Signs(bwrap="/b", uid=1000), records.USER, "dropbear"),
        (Signs(bwrap="/b", uid=1000, architecture="riscv64"), NONE, "x86_64"),
        (Signs(bwrap="/b", uid=1000, refusal="no", settings={"max_user_namespaces": "0"}), NONE, "disabled"),
        (Signs(bwrap="/b", uid=1000, refusal="no", settings={"userns_clone": "0"}), NONE, "plain users"),
        (Signs(bwrap="/b", uid=1000, refusal="no", settings={"apparmor": "1"}), NONE, "AppArmor"),
        (Signs(bwrap="/b", uid=1000, refusal="overlay: no"), NONE, "overlay: no"),
    ],
)
def test_a_machine_gets_its_mode_and_hears_why(signs: Signs, mode: str, word: str) -> None:
    machine = judge(signs)
    assert machine.mode == mode
    assert word in machine.why
    assert bool(machine.hint) == (mode == NONE)
    assert machine.own_network == (mode == records.SYSTEM and signs.ip)


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 22 0:26 / /sys/fs/cgroup rw - tmpfs cgroup rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
40 22 0:50 / /mnt/a\\040b rw shared:1 master:2 - overlay overlay rw,lowerdir=/x
"""


def test_hierarchies_are_found_with_their_controllers() -> None:
    found = cgroups.hierarchies(MOUNTS)
    assert [(str(one.path).rpartition("/")[2], one.version, one.controllers) for one in found] == [
        ("cpu,cpuacct", 1, ("cpu", "cpuacct")),
        ("memory", 1, ("memory",)),
        ("systemd", 1, ()),
        ("unified", 2, ()),
    ]


@given(st.text(max_size=200))
def test_any_text_of_mounts_is_survived(text: str) -> None:
    cgroups.hierarchies(text)
    host_limits.file_system(text, 42)


def test_a_file_system_is_told_by_its_device() -> None:
    assert host_limits.file_system(MOUNTS, (254 << 8)) == "ext4"
    assert host_limits.file_system(MOUNTS, 50) == "overlay"
    assert host_limits.file_system(MOUNTS, 99) == ""


def test_room_is_counted_in_inotify_instances_and_disk() -> None:
    assert host_limits.inotify_problems(128, raisable=False, there=10, more=6) == []
    assert host_limits.inotify_problems(128, raisable=True, there=10, more=60) == []
    (problem,) = host_limits.inotify_problems(128, raisable=False, there=10, more=7)
    assert "room for 6 more" in problem.message
    assert host_limits.disk_problems(640, 10, Path("/s")) == []
    (problem,) = host_limits.disk_problems(639, 10, Path("/s"))
    assert "640 MB" in problem.message


def test_the_last_lines_are_those_that_say_something() -> None:
    text = "<30>systemd[1]: one\n\n\0\0<28>systemd[1]: two\nbwrap: three\n" + "".join(f"line {n}\n" for n in range(4))
    assert last_lines(text) == ["bwrap: three", "line 0", "line 1", "line 2", "line 3"]
    assert last_lines("<30>systemd[1]: one\n") == ["systemd[1]: one"]
