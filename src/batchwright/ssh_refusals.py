"""How SSH servers refuse, in their own words, and what to do about each. Pure.

OpenSSH, PAM and sudo print these texts; an unknown text is passed on unchanged, with a general hint.
"""

from __future__ import annotations

import re

from msgspec import Struct

from batchwright.model.fault import Fault, FaultClass


class SshRefusal(Struct, frozen=True):
    """One kind of refusal: how it is recognised, its code, and what to do; `{user}` and `{host}` are filled in."""

    said: re.Pattern[str]
    code: str
    hint: str


def _refusal(said: str, code: str, hint: str) -> SshRefusal:
    return SshRefusal(re.compile(said, re.IGNORECASE), code, hint)


REFUSALS = (
    _refusal(r"must have a tty", "no-terminal",
             "sudo on {host} wants a terminal: put 'Defaults:{user} !requiretty' into its sudoers."),
    _refusal(r"password.*expired|expired.*password|password change required|change your password|"
             r"required to change", "password-expired",
             "Log in to {host} by hand and change the password of {user}, or disable its expiry: chage -M -1 {user}."),
    _refusal(r"account.*(locked|expired|disabled)|user account has expired|(locked|expired) account", "account-locked",
             "Unlock {user} on {host}: usermod -U {user}; chage -E -1 {user}."),
    _refusal(r"account is currently not available|/nologin|login.*(disabled|not permitted)", "no-shell",
             "{user} has no shell on {host}: give it one (usermod -s /bin/sh {user}), or log in as another user."),
    _refusal(r"system is (booting up|going down|about to|being)|logins? (are|is) currently", "not-now",
             "{host} is not accepting logins now, perhaps because it boots or shuts down; check /run/nologin there."),
    _refusal(r"key.*(can|may) only|only.*(allowed|permitted)|forced command|restricted|sftp connections only|"
             r"please login as", "forced-command",
             "A forced command answers for {user} on {host}: take command= off the key in authorized_keys, or "
             "ForceCommand out of sshd_config, or log in as another user."),
)  # fmt: skip

_TOO_MANY = re.compile("too many authentication failures", re.IGNORECASE)


def refusal_in(said: str, user: str, host: str) -> tuple[str, str] | None:
    """The code and the hint for what a server said; None if that is not known."""
    for one in REFUSALS:
        if one.said.search(said):
            return one.code, one.hint.format(user=user, host=host)
    return None


def login_fault(user: str, host: str, login: str, how: str) -> Fault:
    """The fault of a login that ended before its command was reached."""
    said = f", after it said: {login}" if login else " and said nothing"
    code, hint = refusal_in(login, user, host) or (
        "login-interferes",
        "Its shell's start-up files (.bashrc and the like) must neither exit nor wait when there is no "
        "terminal, and no forced command may answer instead.",
    )
    message = f"the login of {user} on {host} does not get as far as a command: it {how}{said}"
    return Fault(FaultClass.AUTH, message, code, hint)


def denied(user: str, host: str, keys: str, asked: list[str], banner: str) -> Fault:
    """Why a server refuses a login: it rejects these `keys`, or it has `asked` for more than a key."""
    said = f"; it says: {banner}" if banner else ""
    if asked:
        more = " or ".join(asked)
        message = f"{host} does not accept a key alone for {user}: it also wants {more}, which Batchwright cannot give"
        hint = "Let this user in with a key alone (AuthenticationMethods publickey in its sshd_config), or use another."
        return Fault(FaultClass.AUTH, message + said, "login-asks-more", hint)
    hint = f"Put the public key into the file authorized_keys of {user} there."
    code, hint = refusal_in(banner, user, host) or ("login-refused", hint)
    return Fault(FaultClass.AUTH, f"{host} does not let {user} in with {keys}{said}", code, hint)


def hung_up(user: str, host: str, reason: str, named_key: bool) -> Fault | None:
    """The fault of a server that ends the connection during the login; None if the cause is something else."""
    if not _TOO_MANY.search(reason):
        return None
    hint = (
        "Raise MaxAuthTries in its sshd_config." if named_key else "Name one `key`: your agent offers all of its keys."
    )
    message = f"{host} accepts no more keys for {user}: {reason}"
    return Fault(FaultClass.AUTH, message, "too-many-keys", hint)


def not_passed_on(jump: str, host: str, reason: str, *, prohibited: bool) -> Fault:
    """The fault of a jump host that does not connect to the next server."""
    if prohibited:
        message = f"the jump host {jump} does not allow connections to {host}: {reason}"
        hint = f"Set AllowTcpForwarding yes in the sshd_config of {jump}; see PermitOpen and authorized_keys there too."
        return Fault(FaultClass.AUTH, message, "forwarding-refused", hint)
    message = f"{host} cannot be reached from the jump host {jump}: {reason}"
    hint = f"Check that {host} is running and that {jump} may connect to its SSH port."
    return Fault(FaultClass.TRANSIENT, message, "unreachable", hint)
