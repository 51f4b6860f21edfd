"""References: "eu-central-1/i-0123456789abcdef0". The region is part of it, the kind is in AWS's own id."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from batchwright.model.ids import Token


class RefKind(StrEnum):
    """The kind of a reference; the values are the prefixes of AWS's ids."""

    INSTANCE = "i"
    VOLUME = "vol"
    INTERFACE = "eni"
    GROUP = "sg"
    KEY = "key"
    SPENT = "spent"  # a token whose instance was terminated, see `spent`


class Ref(Struct, frozen=True):
    """One resource in one region."""

    region: str
    id: str

    def __str__(self) -> str:
        return f"{self.region}/{self.id}"

    @property
    def kind(self) -> RefKind | None:
        """The kind; None for an id of another cloud."""
        try:
            return RefKind(self.id.partition("-")[0])
        except ValueError:
            return None


def parse(text: str) -> Ref:
    """Parse a reference. Without a region it refers to nothing."""
    region, _, name = text.rpartition("/")
    return Ref(region, name)


def spent(region: str, token: Token) -> Ref:
    """A reference for the instance that used up a token. It is shown as broken, so that the step continues with the
    next token.

    EC2 refuses the token of a terminated instance for longer than it lists that instance.
    """
    return Ref(region, f"{RefKind.SPENT}-{token.run}-{token.value}")


def spent_token(ref: Ref) -> Token:
    """The token that was used up."""
    _, run, value = ref.id.split("-")
    return Token(run, value)
