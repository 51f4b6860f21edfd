"""Shell for servers that waits for the locks of dpkg and apt before each use, whoever holds them.

apt waits for some of its locks only, dpkg for none, and another process may take a lock between the check and the use.
So the shell checks first, and retries what was refused because of a lock.
"""

from __future__ import annotations

LOCK_SECONDS = 600  # the longest wait for other installs
FILES = (
    *("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock"),
    *("/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock"),
)

# Prints `PID NAME FILE` for the first lock that is held. Perl is in every Debian: dpkg's own scripts need it. A holder
# in another container has no number. struct flock is that of Linux: type, whence, start, length, process.
HELD = rf"""
package_lock() {{
  command -v dpkg >/dev/null || return 0
  perl -MFcntl -e '
    for my $path (@ARGV) {{
      open(my $file, "<", $path) or next;
      my $lock = pack("s s x![q] q q l x4", F_WRLCK, 0, 0, 0, 0);
      fcntl($file, F_GETLK, $lock) or die "$path: $!\n";
      my ($type, undef, undef, undef, $pid) = unpack("s s x![q] q q l", $lock);
      next if $type == F_UNLCK;
      my $name = "somebody";
      if ($pid > 0 && open(my $comm, "<", "/proc/$pid/comm")) {{ chomp($name = <$comm> // "somebody"); }}
      $name =~ s/[^!-~]/_/g;
      print "$pid $name $path\n";
      exit 0;
    }}' {" ".join(FILES)}
}}
"""

# Whether `dpkg --configure -a` has something to mend. `dpkg --audit` takes five times as long, that command ten.
HALF_INSTALLED = r"""
half_installed() {
  for update in /var/lib/dpkg/updates/*; do [ ! -e "$update" ] || return 0; done
  grep -qE '^Status: [^ ]+ (reinstreq|[^ ]+ (half-|unpacked|triggers-))' /var/lib/dpkg/status
}
"""

# `with_packages COMMAND...`: waits for the locks, saying for whom; runs the command; again if it was refused a lock.
WITH_PACKAGES = rf"""
{HELD}
wait_for_packages() {{
  waited=0 last=
  while :; do
    holder=$(package_lock) || return 1
    [ -n "$holder" ] || return 0
    set -- $holder
    if [ "$waited" -ge {LOCK_SECONDS} ]; then
      echo "$2 (process $1) has held $3 for over {LOCK_SECONDS} s" >&2
      return 1
    fi
    [ "$holder" = "$last" ] || echo "waiting for $2 (process $1), which holds $3"
    last=$holder
    sleep 2
    waited=$((waited + 2))
  done
}}
with_packages() {{
  log=$(mktemp) || return 1
  for try in 1 2 3 4 5; do
    code=1
    wait_for_packages || break
    {{ "$@" && echo 0 >"$log.code" || echo $? >"$log.code"; }} 2>&1 </dev/null | tee "$log"
    code=$(cat "$log.code")
    [ "$code" != 0 ] || break
    grep -qiE 'could not get lock|unable to (acquire|lock)|lock was locked by' "$log" || break
    sleep 1
  done
  rm -f "$log" "$log.code"
  return "$code"
}}
"""
