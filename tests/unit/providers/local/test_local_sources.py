"""The distribution's own package sources, out of whatever apt of a machine has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchwright.providers.local.host_apt_sources import AptSource, distribution_sources, network_options

DEB822 = """\
# the distribution
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Enabled: yes

Types: deb
Enabled: no
URIs: http://mirror.example/debian
Suites: bookworm-backports
Components: main

Types: deb
URIs: http://vendor.example/linux/debian
Suites: bookworm
Components: stable
Signed-By: /etc/apt/keyrings/vendor.asc
"""

ONE_LINE = """\
# deb http://mirror.example/debian bullseye main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm main # x
deb [signed-by=/etc/apt/keyrings/vendor.gpg] http://vendor.example/apt bookworm main
deb http://mirror.example/debian bookworm-updates main non-free-firmware
deb http://mirror.example/debian trixie main
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/short
"""
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def test_deb822_files() -> None:
    assert distribution_sources({"debian.sources": DEB822}, "bookworm") == [
        AptSource("http://mirror.example/debian", "bookworm", ("main", "contrib"), KEYRING),
        AptSource("http://mirror.example/debian", "bookworm-updates", ("main", "contrib"), KEYRING),
        AptSource("http://mirror.example/debian-security", "bookworm-security", ("main",)),
    ]


def test_one_line_files() -> None:
    found = distribution_sources({"sources.list": ONE_LINE}, "bookworm")
    assert [source.line() for source in found] == [
        f"deb [signed-by={KEYRING}] http://mirror.example/debian bookworm main",
        "deb http://mirror.example/debian bookworm-updates main non-free-firmware",
    ]


def test_a_source_that_stands_twice_is_taken_once() -> None:
    line = "deb http://mirror.example/debian bookworm main\n"
    assert len(distribution_sources({"a.list": line, "b.list": line}, "bookworm")) == 1


@given(st.text(max_size=200))
def test_any_file_is_survived(text: str) -> None:
    distribution_sources({"a.list": text, "b.sources": text}, "bookworm")


def test_how_packages_are_fetched_is_kept_and_nothing_else() -> None:
    dump = """\
Acquire "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::https "";
Acquire::Check-Valid-Until "false";
Acquire::IndexTargets::deb::Packages::MetaKey "x";
Acquire::cdrom::mount "/media/cdrom/";
"""
    kept = network_options(dump, {"http_proxy": "http://other.example", "https_proxy": "http://proxy.example:3129"})
    assert kept == [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::Check-Valid-Until "false";',
        'Acquire::https::Proxy "http://proxy.example:3129";',
        'Acquire::Languages "none";',
    ]
