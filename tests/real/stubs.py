"""Stub packages of what cannot be had here, in a signed repository: they note how they are called, and pretend."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.support.needs import missing

CALLED = "/var/lib/stubs"  # on the server: `calls` has one line per call, and a copy of each configuration file

NOTE = f"""#!/bin/sh
mkdir -p {CALLED}
echo "$(basename "$0") $*" >> {CALLED}/calls
previous=
for word in "$@"; do
    [ "$previous" = --config ] && cp "$word" "{CALLED}/$(basename "$0")-$1.json"
    previous=$word
done
"""

KUBEADM = (
    NOTE
    + """
kubernetes=/etc/kubernetes
case "$1 $2" in
"version -o") echo v1.34.1 ;;
"init --config")
    if [ -e /run/stubs-init-fails ]; then
        mkdir -p $kubernetes && touch $kubernetes/admin.conf
        echo "it does not work" >&2
        exit 1
    fi
    mkdir -p $kubernetes && touch $kubernetes/admin.conf $kubernetes/kubelet.conf && systemctl start kubelet ;;
"join --config") mkdir -p $kubernetes && touch $kubernetes/kubelet.conf && systemctl start kubelet
    ! grep -q '"controlPlane"' "$3" || touch $kubernetes/admin.conf ;;
"reset --force") systemctl stop kubelet; rm -rf $kubernetes ;;
"token create") token=$(tr -dc a-z0-9 < /dev/urandom | head -c 16); echo "abcdef.$token" >> /var/lib/stubs/tokens
    echo "kubeadm join 10.9.9.9:6443 --token abcdef.$token --discovery-token-ca-cert-hash sha256:0123 " ;;
"certs certificate-key") tr -dc a-f0-9 < /dev/urandom | head -c 64; echo ;;
"init phase") cp "$6" /var/lib/stubs/upload.json ;;
"kubeconfig user") echo "stub admin rights" ;;
*) echo "what is $*?" >&2; exit 1 ;;
esac
"""
)

KUBECTL = (
    NOTE
    + """
[ "$1" = --kubeconfig ] && [ -e "$2" ] || { echo "no $2" >&2; exit 1; }
case "$*" in
*"get node"*jsonpath*) if [ -e /var/lib/stubs/kubeadm-init.json ] && [ ! -e /var/lib/stubs/release ]; then
    echo "Ready=False the network is not ready"
    else echo "Ready=True fine"; fi ;;
*"get node"*) echo "node/it" ;;
*"config view"*) echo https://10.9.9.9:6443 ;;
esac
"""
)

HELM = (
    NOTE
    + """
case "$*" in
*"upgrade --install"*)
    for word in "$@"; do case $word in *values.json) cp "$word" /var/lib/stubs/values.json ;; esac; done
    touch /var/lib/stubs/release ;;
*status*) [ -e /var/lib/stubs/release ] || exit 1; printf 'NAME: cilium\\nSTATUS: deployed\\n' ;;
*uninstall*) rm -f /var/lib/stubs/release ;;
esac
"""
)

KUBELET_UNIT = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"


def need_tools() -> None:
    """Skip where there is nothing to build and sign packages with; fail where there should be."""
    absent = [name for name in ("dpkg-deb", "gpg", "gpgconf") if shutil.which(name) is None]
    if absent:
        missing(f"not installed: {', '.join(absent)}")


def make_repository(place: Path) -> None:
    """Packages, their index, its signature, the key, and helm as an archive, all in one folder."""
    place.mkdir()
    work = place.parent / "packages"
    _package(work, place, "kubelet", {"usr/bin/kubelet": NOTE, "lib/systemd/system/kubelet.service": KUBELET_UNIT})
    _package(work, place, "kubeadm", {"usr/bin/kubeadm": KUBEADM}, depends="kubelet")
    _package(work, place, "kubectl", {"usr/bin/kubectl": KUBECTL})
    _index(place)
    _sign(place, place.parent / "gnupg")
    architecture = _output("dpkg", "--print-architecture")
    with tarfile.open(place / f"helm-{architecture}.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(f"linux-{architecture}/helm")
        member.mode, member.size = 0o755, len(HELM.encode())
        archive.addfile(member, io.BytesIO(HELM.encode()))


def _package(work: Path, place: Path, name: str, contents: dict[str, str], depends: str = "") -> None:
    root = work / name
    control = f"Package: {name}\nVersion: 1.34.1-1.1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n"
    control += (f"Depends: {depends}\n" if depends else "") + "Description: stub\n"
    for path, text in {**contents, "DEBIAN/control": control}.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if text.startswith("#!") else 0o644)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", "-Zgzip", root, place / f"{name}.deb"],
        check=True,
        capture_output=True,
    )


def _index(place: Path) -> None:
    entries = []
    for deb in sorted(place.glob("*.deb")):
        fields = _output("dpkg-deb", "--field", str(deb))
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        entries.append(f"{fields}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")
    index = "\n".join(entries).encode()
    (place / "Packages").write_bytes(index)
    listed = f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages"
    (place / "Release").write_text(f"Origin: stubs\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n{listed}\n")


def _sign(place: Path, home: Path) -> None:
    home.mkdir(mode=0o700)
    environ = {**os.environ, "GNUPGHOME": str(home)}
    run = ["gpg", "--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*run, "--quick-gen-key", "stubs@example.org", "ed25519", "sign"], check=True, env=environ)
    release = place / "Release"
    subprocess.run([*run, "--clearsign", "-o", place / "InRelease", release], check=True, env=environ)
    subprocess.run([*run, "--armor", "--export", "-o", place / "Release.key"], check=True, env=environ)
    subprocess.run(["gpgconf", "--kill", "all"], check=True, env=environ)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
