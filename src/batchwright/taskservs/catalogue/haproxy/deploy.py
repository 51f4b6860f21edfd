"""haproxy: one frontend, and the upstreams behind it that are healthy."""

from __future__ import annotations

from typing import Any

from batchwright.taskservs.certificates import certificate_of
from batchwright.taskservs.config_escapes import haproxy_word
from batchwright.taskservs.debian import (
    DeployImpossible,
    ServiceFile,
    purge_packages,
    remove_paths,
    run_service,
    stop_service,
)
from batchwright.taskservs.listen_addresses import endpoint, endpoints

CONFIG = "/etc/haproxy/haproxy.cfg"
PEM = "/etc/haproxy/batchwright.pem"  # certificates and private key: read before haproxy gives up root's rights

SETTINGS = """\
# Written by Batchwright.
global
    log /dev/log local0
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 600 level admin
    user haproxy
    group haproxy
    maxconn {max_connections}
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets

defaults
    log global
    mode {mode}
    option {mode}log
    option dontlognull
    timeout connect 5s
    timeout client {client_timeout}
    timeout server {server_timeout}
    timeout http-request 10s

frontend batchwright
    bind {bind}{tls}
{frontend}    default_backend batchwright

backend batchwright
    balance {balance}
{backend}"""

OF_HTTP = """\
    option forwardfor
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    monitor-uri {health_path}
    monitor fail if {{ nbsrv(batchwright) lt 1 }}
"""


def install(v: Any) -> None:
    """Packages, configuration, then the service; a change is taken up by a reload."""
    try:
        upstreams = endpoints(v.upstreams, v.upstream_port)
    except ValueError as error:
        raise DeployImpossible(str(error)) from error
    if not upstreams:
        raise DeployImpossible("haproxy needs at least one of `upstreams`")
    certificate = certificate_of(v, [v.server.address, v.server.name], PEM)
    run_service(
        "haproxy",
        ServiceFile(PEM, certificate.pem if certificate else None, "600", reload=True),
        ServiceFile(CONFIG, _settings(v, upstreams), reload=True),
        packages=("haproxy",),
        version=v.package_version,
        test=f"haproxy -c -q -f {CONFIG}",
        workers=True,
    )


def remove(_v: Any) -> None:
    """Stop it, then purge it with its configuration."""
    stop_service("haproxy", "haproxy")
    purge_packages("haproxy")
    remove_paths("/etc/haproxy", "/var/lib/haproxy", "/var/log/haproxy.log*", "/run/haproxy")


def _settings(v: Any, upstreams: list[str]) -> str:
    http = v.mode == "http"
    backend = ""
    if v.check_path:
        backend = f"    option httpchk GET {haproxy_word(v.check_path)}\n    http-check expect status 200-399\n"
    for number, upstream in enumerate(upstreams, 1):
        backend += (
            f"    server upstream{number} {haproxy_word(upstream)} check inter {_milliseconds(v.check_interval)}\n"
        )
    return SETTINGS.format(
        max_connections=v.max_connections,
        mode=v.mode,
        client_timeout=_milliseconds(v.client_timeout),
        server_timeout=_milliseconds(v.server_timeout),
        bind=haproxy_word(endpoint(v.bind, v.port)),
        tls="" if v.tls == "off" else f" ssl crt {PEM}{' alpn h2,http/1.1' if http else ''}",
        frontend=OF_HTTP.format(health_path=haproxy_word(v.health_path)) if http else "",
        balance=v.balance,
        backend=backend,
    )


def _milliseconds(duration: float) -> str:
    return f"{max(1, round(duration * 1000))}ms"
