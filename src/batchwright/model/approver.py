"""Who may answer a question of a run. Pure."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from batchwright.model.plan import Hold
from batchwright.model.role import Role


class Principal(Struct, frozen=True):
    """Somebody as the door knows them, whatever they say about themselves.

    `id` is that of their access token or, without one, `uid@host`. `name` is the token's, or the user's.
    """

    id: str
    name: str = ""
    role: Role = Role.ADMIN

    @property
    def has_token(self) -> bool:
        """Whether an access token identifies them."""
        return "@" not in self.id


def unfit(hold: Hold, who: Principal, responsible: Collection[str], *, tokens: bool) -> str:
    """Why somebody may not answer, empty if they may.

    `responsible` are the principals that submitted the run and last continued it. `tokens`: there are access tokens;
    without any, whoever uses the machine may answer.
    """
    if not tokens:
        return ""
    if who.id in responsible:
        return "whoever submitted or last continued a run cannot approve it"
    if not who.role.allows(Role.OPERATOR):
        return f"the role {who.role} only looks"
    if hold.of and not any(_is(word, who) for word in hold.of):
        return f"the question is for {' or '.join(hold.of)}"
    return ""


def _is(word: str, who: Principal) -> bool:
    """Whether a word of `of` means this principal: a role, or the name of a token. Roles come first."""
    if word in set(Role):
        return who.role.allows(Role(word))
    return who.has_token and who.name == word
