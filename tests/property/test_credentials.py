"""What of an environment is a secret, by its name or its form."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchwright.client.http import HttpClient
from batchwright.errors import BatchwrightError
from batchwright.providers.settings import checked_address
from batchwright.redaction import masked, secrets_in_environment


def test_the_secrets_of_the_environment_are_known_by_name_and_form() -> None:
    """B1: tokens, passwords and keys, and what stands before the @ of an address."""
    environ = {
        "UPCLOUD_TOKEN": "ucat_0123456789",
        "UPCLOUD_PASSWORD": "swordfish",
        "HCLOUD_TOKEN": "0123456789abcdef",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
        "PGPASSWORD": "correct horse",
        "STRIPE_KEY": "sk_live_123456",
        "HTTPS_PROXY": "http://me:p%40ssword@proxy:3128",
        "DATABASE": "postgres://app:hunter22@db/app",
    }
    assert secrets_in_environment(environ) == {
        "ucat_0123456789",
        "swordfish",
        "0123456789abcdef",
        "wJalrXUtnFEMI/K7MDENG",
        "correct horse",
        "sk_live_123456",
        "p%40ssword",
        "p@ssword",
        "hunter22",
    }


def test_what_only_names_a_place_stays_readable() -> None:
    """B1: an output without its paths, user names and switches would tell nothing."""
    environ = {
        "PWD": "/srv/project",
        "OLDPWD": "/srv/before",
        "SSH_AUTH_SOCK": "/run/agent.sock",
        "UPCLOUD_PASSWORD_FILE": "/run/secrets/upcloud",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "UPCLOUD_USERNAME": "operator",
        "USE_TOKEN": "true",
        "HTTP_PROXY": "http://proxy.example:3128",
        "PATH": "/usr/bin",
    }
    assert secrets_in_environment(environ) == set()


@given(st.text(alphabet="abcXYZ019%-._~!", min_size=6, max_size=60), st.text(alphabet="abcxyz0-", max_size=9))
def test_a_password_in_an_address_is_found_wherever_it_stands(password: str, user: str) -> None:
    """B1: as in a proxy's variable, whose name says nothing of a secret."""
    assert password in secrets_in_environment(
        {"ANYTHING": f"see https://{user}:{password}@host.example/path, and more"}
    )


PASSWORDS = st.text(alphabet="abcXYZ019/@:?#[]%-._~!", min_size=4, max_size=30)


@given(PASSWORDS, st.sampled_from(["http", "https", "wss"]), st.text(alphabet="abc", max_size=4))
@example("0@~~", "http", "")
def test_no_address_that_is_refused_shows_its_password(password: str, scheme: str, user: str) -> None:
    """B1, F6: an address with a password is refused, and clients of a service learn why, not what it was."""
    address = f"{scheme}://{user}:~~{password}@host.example:8000/path?token=~~{password}"
    assert "~~" not in masked(f'cannot reach "{address}"')
    with pytest.raises(BatchwrightError) as provider:
        checked_address(address, "Some Cloud", "")
    with pytest.raises(BatchwrightError) as service:
        HttpClient(address)
    assert "~~" not in f"{provider.value.message} {provider.value.hint} {service.value.message} {service.value.hint}"


def test_an_address_without_a_password_is_told_as_it_is() -> None:
    """B1: who mistyped it wants to see it."""
    for address in ("ftp://host:1/path", "db.example.org:8000", "mem://", "http://host:99999", "http://[::1"):
        assert masked(address) == address


@pytest.mark.parametrize("address", ["http://[::1", "http://host:99999", "http://host:x", "http://:pw@127.0.0.1", ""])
def test_addresses_that_cannot_be_read_are_refused_in_a_sentence(address: str) -> None:
    """B1, F6: not as a bug that shows them; a password without a user is one too."""
    with pytest.raises(BatchwrightError, match="is not an address of the Some Cloud API"):
        checked_address(address, "Some Cloud", "")
    with pytest.raises(BatchwrightError, match="is not the address of a service"):
        HttpClient(address)
