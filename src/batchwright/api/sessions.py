"""Calls that sign a browser in and out, and say who it is. They lie at the root, so that the cookie holds for all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import Body
from msgspec import Meta, Struct

from batchwright.api.authentication import Authenticator, Caller
from batchwright.api.openapi import problems
from batchwright.app.browser_sessions import CODE_SECONDS, SESSION_SECONDS
from batchwright.errors import Unauthorized
from batchwright.model.role import Role
from batchwright.service.run_supervisor import RunSupervisor

Secret = Annotated[str, Meta(max_length=200)]


class SignIn(Struct, frozen=True, forbid_unknown_fields=True):
    """What a browser signs in with: the code of `batchwright open`, or a token."""

    code: Secret = ""
    token: Secret = ""


class Session(Struct, frozen=True):
    """Who the caller is. `signed_in`: by a session, which can be ended; else every request of this user is answered.

    `submits_simulated`: everything that is submitted is simulated.
    """

    name: str
    role: Role
    signed_in: bool
    submits_simulated: bool


class OpenedPage(Struct, frozen=True):
    """Where the page is. `code` signs a browser in, once, within `seconds`; "" if it needs not sign in."""

    url: str
    code: str
    seconds: float


def _session(caller: Caller, supervisor: RunSupervisor) -> Session:
    return Session(caller.name, caller.role, bool(caller.session), supervisor.desk.simulation is not None)


@post("/session/code", status_code=200, responses=problems(), tags=["Service"])
async def code(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    access: NamedDependency[Authenticator],
    address: NamedDependency[str],
) -> OpenedPage:
    """A code with which a browser signs in as the caller, and the address of the page."""
    caller: Caller = request.scope["state"]["caller"]
    if not access.closed:
        return OpenedPage(address, "", 0.0)
    made = access.sessions.code(caller.grant, supervisor.clock.now())
    return OpenedPage(address, made, CODE_SECONDS)


@post("/session", status_code=200, opt={"role": None}, responses=problems(429), tags=["Service"])
async def sign_in(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    access: NamedDependency[Authenticator],
    data: Annotated[SignIn, Body()],
) -> Response[Session]:
    """Sign a browser in with a code or a token. The answer sets a cookie that holds while the token does."""
    now, sessions = supervisor.clock.now(), access.sessions
    address = request.client.host if request.client else ""
    if data.token:
        grant = access.holder(data.token, address).grant
    else:
        taken = sessions.take(data.code, now)
        if taken is None:
            raise Unauthorized(
                "this code was used already, or is more than a minute old",
                hint="Get a new one: batchwright open",
            )
        grant = taken
    secret = await asyncio.to_thread(sessions.begin, grant, now)
    caller = access.in_browser(secret, address)
    if caller is None:
        raise Unauthorized("the token of this code was revoked or has expired")
    request.scope["state"]["caller"] = caller
    secure = "; Secure" if request.url.scheme == "https" else ""
    # without Path it holds where this call lies, which is the root of the service under any proxy's prefix
    cookie = f"{sessions.cookie}={secret}; HttpOnly; SameSite=Strict; Max-Age={SESSION_SECONDS:.0f}{secure}"
    return Response(_session(caller, supervisor), headers={"Set-Cookie": cookie})


@get("/session", responses=problems(), tags=["Service"])
async def who(request: Request[Any, Any, Any], supervisor: NamedDependency[RunSupervisor]) -> Session:
    """Who the caller is and what it may do."""
    return _session(request.scope["state"]["caller"], supervisor)


@delete("/session", status_code=200, responses=problems(), tags=["Service"])
async def sign_out(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    access: NamedDependency[Authenticator],
) -> Response[Session]:
    """End the caller's session."""
    caller: Caller = request.scope["state"]["caller"]
    if caller.session:
        await asyncio.to_thread(access.sessions.end, caller.session, supervisor.clock.now())
    headers = {"Set-Cookie": f"{access.sessions.cookie}=; HttpOnly; SameSite=Strict; Max-Age=0"}
    return Response(_session(caller, supervisor), headers=headers)


HANDLERS: Sequence[Any] = (code, sign_in, who, sign_out)
