"""Which URLs can be receivers', and which addresses a workflow file may not name."""

from ipaddress import ip_address

import pytest

from batchwright.model.receiver_url import address_refusal, is_listed, literal_address, url_parts
from batchwright.model.secret_reference import SecretReference
from batchwright.model.trace_receiver import TraceReceiver
from batchwright.model.webhook import Webhook


def test_the_parts_of_a_url() -> None:
    parts = url_parts("https://CI.example:8443/hooks?token=abc")
    assert (parts.scheme, parts.host, parts.port) == ("https", "ci.example", 8443)
    assert (parts.target, parts.authority) == ("/hooks?token=abc", "ci.example:8443")
    assert url_parts("http://[::1]").authority == "[::1]"
    assert url_parts("https://ci.example").target == "/"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://ci.example/", "must begin with https://"),
        ("https:///path", "must begin with https://"),
        ("https://ada:secret@ci.example/", "user or password"),
        ("https://ada@ci.example/", "user or password"),
        ("https://ci.example/#part", "fragment"),
        ("https://ci.example/a b", "blanks"),
        ("https://ci.example/\r\nX: y", "blanks"),
        ("https://b\u00fccher.example/", "ASCII"),
        ("https://ci.example:99999/", "Port out of range"),
    ],
)
def test_what_cannot_be_a_receivers_url(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as told:
        url_parts(url)
    assert "secret" not in str(told.value).replace("a secret in clear", "")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1", "the machine itself"),
        ("127.8.9.10", "the machine itself"),
        ("::1", "the machine itself"),
        ("::ffff:127.0.0.1", "the machine itself"),
        ("64:ff9b::7f00:1", "the machine itself"),
        ("2002:7f00:1::", "the machine itself"),
        ("10.0.0.1", "private"),
        ("172.16.5.4", "private"),
        ("192.168.1.1", "private"),
        ("fd00:ec2::254", "private"),
        ("fc00::1", "private"),
        ("100.100.100.200", "private"),  # shared by carriers, and where one cloud has its metadata
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("168.63.129.16", "metadata"),
        ("0.0.0.0", "no address of a single receiver"),
        ("::", "no address of a single receiver"),
        ("224.0.0.1", "no address of a single receiver"),
        ("255.255.255.255", "no address of a single receiver"),
        ("ff02::1", "no address of a single receiver"),
    ],
)
def test_addresses_that_a_workflow_file_may_not_name(address: str, words: str) -> None:
    assert words in address_refusal(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_public_addresses_may_be_named(address: str) -> None:
    assert address_refusal(ip_address(address)) == ""


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "10.1.2.3.4"])
def test_a_number_that_programs_read_in_several_ways_is_no_host(host: str) -> None:
    with pytest.raises(ValueError, match="neither a host name nor an address"):
        literal_address(host)


def test_what_the_operator_lists_is_a_name_an_address_or_a_network() -> None:
    listed = ["CI.internal.", "10.20.0.0/16", "192.168.7.7", "fd00::/8"]
    assert is_listed("ci.internal", None, listed)
    assert not is_listed("other.internal", None, listed)
    assert not is_listed("x.ci.internal", None, listed)
    for address, allowed in {"10.20.3.4": True, "10.21.0.1": False, "192.168.7.7": True, "fd00::5": True}.items():
        assert is_listed("any.name", ip_address(address), listed) is allowed
    assert is_listed("any.name", ip_address("::ffff:10.20.3.4"), listed)


def test_of_a_webhook_only_the_host_is_shown() -> None:
    for url, shown in {
        "https://ci.example/T00/B00/token": "https://ci.example/...",
        "https://ci.example:8443?token=x": "https://ci.example:8443/...",
        "https://ci.example/": "https://ci.example",
        "https://[fd00::1]/x": "https://[fd00::1]/...",
    }.items():
        assert Webhook("ci", url, SecretReference(env="S")).public().url == shown


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "X\r\nY", ""])
def test_a_collector_gets_no_header_that_frames_the_request(name: str) -> None:
    with pytest.raises(ValueError, match="header"):
        TraceReceiver("http://127.0.0.1:4318/v1/traces", {name: "1"})
