"""Shell for servers: what is done there beside the deploys. Plain `sh`, and nothing that a small Debian lacks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from shlex import quote

from batchwright.taskservs.package_locks import HALF_INSTALLED, HELD, LOCK_SECONDS, WITH_PACKAGES

HOME = "/var/lib/batchwright"
MARKERS = f"{HOME}/taskservs"
MARK = "BATCHWRIGHT_STEP"  # in the environment of everything that a step runs on a server

# Somebody else's apt is waited for, questions are answered as the installed settings have it, bars are not drawn.
APT_SETTINGS = f"""DPkg::Lock::Timeout "{LOCK_SECONDS}";
DPkg::Options {{ "--force-confdef"; "--force-confold"; }};
Dpkg::Use-Pty "0";
Acquire::Retries "3";
"""

FIRST_START = """
if [ -d /run/cloud-init ] && [ ! -e /run/cloud-init/disabled ] && [ ! -e /run/cloud-init/result.json ]; then
  echo "cloud-init has not ended"; exit 1
fi
if [ -e /etc/systemd/system/batchwright-ready.service ] && [ ! -e /run/batchwright/ready ]; then
  echo "its first start has not ended"; exit 1
fi
if [ -d /run/systemd/system ] && [ ! -e /run/batchwright-started ]; then
  state=$(timeout 15 systemctl is-system-running)
  [ $? != 124 ] || { echo "its system manager does not answer"; exit 1; }
  case $state in starting | initializing) echo "its services are still starting"; exit 1 ;; esac
  : > /run/batchwright-started
fi
"""  # /run is empty again after a restart, and the file saves the slowest question of each later look

# What would leak into installs and checks from the server or its login: language, time zone, where programs are.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "LANG": "C.UTF-8",
    "LANGUAGE": "",
    "TZ": "UTC",
    "DEBIAN_FRONTEND": "noninteractive",
}
KNOWN = "".join(f"export {name}='{value}'\n" for name, value in ENVIRONMENT.items()) + "umask 022\n"

# What checks may call. All say what they saw when they fail. /dev/tcp is bash's: few servers have another client.
CHECKING = """
unit_is_active() { # UNIT [FILE_OF_ITS_LOG]...
    state=$(systemctl is-active "$1") && return 0
    echo "$1 is $state"
    journalctl -q --no-pager -o cat -n 10 -u "$1"
    shift
    for log; do tail -n 5 "$log"; done
    return 1
}
shows() { # PATTERN COMMAND [ARGUMENT]...: it ends with 0 and one of its lines matches (grep -E)
    pattern=$1
    shift
    said=$("$@" 2>&1)
    code=$?
    [ $code = 0 ] && printf '%s\\n' "$said" | grep -qE -e "$pattern" && return 0
    printf '%s\\n' "$said" | tail -n 10
    echo "$1 ended with $code; expected: $pattern"
    return 1
}
port_accepts() { # HOST PORT
    timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "$1" "$2" 2>&1 && return 0
    echo "$1 accepts no connection at port $2"
    return 1
}
authority() { # HOST[:PORT] PORT: prints HOST:PORT, an IPv6 address in brackets; PORT is for a host without one
    case $1 in
        \\[*\\]:*) echo "$1" ;;
        \\[*) echo "$1:$2" ;;
        *:*:*) echo "[$1]:$2" ;;
        *:*) echo "$1" ;;
        *) echo "$1:$2" ;;
    esac
}
endpoint_accepts() { # HOST[:PORT] PORT
    at=$(authority "$1" "$2")
    host=${at%:*}
    host=${host#\\[}
    port_accepts "${host%\\]}" "${at##*:}"
}
http_answers() { # URL STATUS TEXT: a GET is answered with the status, and with the text in the body
    said=$(bash -c '
        rest=${1#http://}; authority=${rest%%[/?]*}; target=${rest#"$authority"}
        case $target in /*) ;; *) target=/$target ;; esac
        case $authority in
            \\[*) host=${authority%%]*}; host=${host#?}; port=${authority##*]} ;;
            *:*) host=${authority%%:*}; port=${authority#*:} ;;
            *) host=$authority; port= ;;
        esac
        port=${port#:}
        exec 3<>"/dev/tcp/$host/${port:-80}" || exit
        printf "GET %s HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n" "$target" "$authority" >&3
        head -c 4194304 <&3' - "$1" 2>&1 | tr -d '\\000\\r')
    status=
    case $said in HTTP*' '*) status=${said#* } status=${status%%[!0-9]*} ;; esac
    if [ "$status" = "$2" ]; then
        [ -n "$3" ] || return 0
        case $(printf '%s\\n' "$said" | sed '1,/^$/d') in *"$3"*) return 0 ;; esac
    fi
    printf '%s\\n' "$said" | tail -n 10
    echo "GET $1 gave ${status:-no answer}; expected: $2${3:+ with $3}"
    return 1
}
"""

_PLATFORM = '( . /etc/os-release 2>/dev/null; echo "platform ${ID:-unknown} ${VERSION_ID:-}" )'

# `:` at the end, so that no shell turns itself into a grep, which would find itself
_FIND_MARKED = """
find_marked() { # sets $marked, the processes that carry $mark
  marked=$({ grep -lzxF -e "$mark" /proc/[0-9]*/environ; grep -lzF -e "$mark" /proc/[0-9]*/cmdline; :; } 2>/dev/null)
  [ -z "$marked" ] || marked=$(printf '%s\\n' "$marked" | cut -d/ -f3 | sort -u)
}
"""


def end_marked(token: str, looks: int = 1) -> str:
    """End every process that carries the step's mark, politely first; prints how many there were.

    More than one look catches a command that was on its way when whoever sent it was stopped.
    """
    return f"""mark={quote(f"{MARK}={token}")}
{_FIND_MARKED}
ended=0
for look in {" ".join(map(str, range(looks)))}; do
  [ "$look" = 0 ] || sleep 0.5
  find_marked
  [ -n "$marked" ] || continue
  ended=$((ended + $(echo "$marked" | grep -c .)))
  kill -TERM $marked 2>/dev/null
  for _ in 1 2 3 4 5 6 7 8; do
    sleep 0.25
    find_marked
    [ -n "$marked" ] || break
  done
  [ -z "$marked" ] || kill -KILL $marked 2>/dev/null
  sleep 0.1
done
[ "$ended" = 0 ] || find_marked
[ -z "$marked" ] || {{ echo "left $(echo $marked)"; exit 1; }}
echo "ended $ended"
"""


def prepare(token: str, *, private: bool) -> str:
    """What comes before a deploy: what an earlier attempt left running is ended, and packages that it left half-way are
    mended.

    Prints what `end_marked` does, and `held PID NAME FILE` if another process is changing packages: then nothing more
    was done. Otherwise `platform ID RELEASE`, and with `private` `temp FOLDER`, one that only its user can enter.
    """
    place = f"/tmp/batchwright-{re.sub('[^0-9A-Za-z]', '-', token)}"  # noqa: S108 - made by mktemp, on the server
    temp = f"""rm -rf {place}-??????
temp=$(mktemp -d {place}-XXXXXX) && chown "$SUDO_USER" "$temp" && echo "temp $temp" || exit 1"""
    return f"""(
{end_marked(token)})
{HELD}
holder=$(package_lock)
[ -z "$holder" ] || {{ echo "held $holder"; exit 0; }}
{_PLATFORM}
export {MARK}={quote(token)}
mkdir -p {MARKERS} || exit 1
printf '%s' {quote(APT_SETTINGS)} >{HOME}/apt.conf || exit 1
[ ! -e /usr/sbin/policy-rc.d ] || {{ grep -qs '^# batchwright$' /usr/sbin/policy-rc.d && rm -f /usr/sbin/policy-rc.d; }}
{temp if private else ""}
command -v dpkg >/dev/null || exit 0
{HALF_INSTALLED}
half_installed || exit 0
echo "mending what was installed half-way"
{WITH_PACKAGES}
with_packages dpkg --force-confdef --force-confold --configure -a
"""


def write_marker(name: str, version: str, token: str, at: str) -> str:
    """Note on the server that the task service is installed."""
    path = f"{MARKERS}/{name}.json"
    body = json.dumps({"name": name, "version": version, "token": token, "at": at})
    return f"umask 022; printf '%s\\n' {quote(body)} >{path}.new && mv {path}.new {path}\n"


def remove_marker(name: str) -> str:
    """Note that it is not; prints `gone` when it had been noted."""
    path = f"{MARKERS}/{name}.json"
    return f"[ -e {path} ] || exit 0\nrm -f {path} && echo gone\n"


def list_installed(present: Mapping[str, str]) -> str:
    """Print the names of what is noted as installed, and of what its own probe says is there."""
    lines = [f'for each in {MARKERS}/*.json; do [ -e "$each" ] && basename "$each" .json; done']
    lines += [f"( {{\n{probe}\n}} ) >/dev/null 2>&1 && echo {quote(name)}" for name, probe in sorted(present.items())]
    return "\n".join([*lines, "exit 0", ""])


def remove_folder(folder: str) -> str:
    """Remove the private folder that `prepare` made."""
    return f"rm -rf {quote(folder)}\n"


def with_environment(variables: Mapping[str, str], text: str) -> str:
    """A script with these in its environment."""
    exports = "".join(f"export {name}={quote(value)}\n" for name, value in variables.items())
    return f"{exports}{text}"


def told(text: str) -> str:
    """A script whose output is wanted: what it says on stderr is shown only when it fails."""
    return f"""errors=$(mktemp)
(
{text}
) 2>"$errors"
code=$?
[ $code = 0 ] || cat "$errors"
rm -f "$errors"
exit $code
"""
