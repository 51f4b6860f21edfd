"""nginx: a default site that serves a folder or passes requests on, further sites by host name, and TLS.

Further configuration goes into /etc/nginx/conf.d.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batchwright.taskservs.certificates import certificate_of
from batchwright.taskservs.config_escapes import nginx_word
from batchwright.taskservs.debian import (
    DeployImpossible,
    ServiceFile,
    purge_packages,
    remove_paths,
    run_service,
    stop_service,
)
from batchwright.taskservs.listen_addresses import endpoint, endpoints

PEM = "/etc/nginx/batchwright.pem"  # certificates and private key: the main process reads it as root

MAIN = """\
# Written by Batchwright.
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
include /etc/nginx/modules-enabled/*.conf;
events {{ worker_connections {connections}; }}
http {{
    sendfile on;
    tcp_nopush on;
    server_tokens off;
    server_names_hash_bucket_size 512;
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:batchwright:1m;
    map $http_upgrade $batchwright_connection {{ default upgrade; "" ""; }}
    include /etc/nginx/conf.d/*.conf;
}}
"""

FOLDER = """\
        root {root};
        index index.html index.nginx-debian.html;
"""

PROXY = """\
        proxy_pass http://{upstream};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $batchwright_connection;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_connect_timeout 5s;
        proxy_read_timeout {timeout};
        proxy_send_timeout {timeout};
"""


def install(v: Any) -> None:
    """Packages, configuration, then the service; a change is taken up by a reload."""
    names = [*v.server_names, *(site.partition(" -> ")[0] for site in v.sites)]
    if len({*names}) != len(names):
        raise DeployImpossible("a host name stands twice in `server_names` and `sites`")
    try:
        sites = _sites(v)
    except ValueError as error:
        raise DeployImpossible(str(error)) from error
    certificate = certificate_of(v, names or [v.server.address], PEM)
    run_service(
        "nginx",
        ServiceFile(PEM, certificate.pem if certificate else None, "600", reload=True),
        ServiceFile("/etc/nginx/nginx.conf", MAIN.format(connections=v.worker_connections), reload=True),
        ServiceFile("/etc/nginx/conf.d/batchwright.conf", sites, reload=True),
        test="nginx -t -q",
        packages=("nginx",),
        version=v.package_version,
        logs=("/var/log/nginx/error.log",),
        workers=True,
    )


def remove(_v: Any) -> None:
    """Stop it, then purge it with its configuration and logs."""
    stop_service("nginx", "nginx")
    purge_packages("nginx", "nginx-common")
    remove_paths("/etc/nginx", "/var/log/nginx", "/var/lib/nginx", "/var/www/html/index.nginx-debian.html")


def _sites(v: Any) -> str:
    """The default site and those by host name, with their upstreams. Raises ValueError."""
    text = "# Written by Batchwright.\n"
    default = ",".join(v.upstreams) or v.root
    for number, site in enumerate([f"_ -> {default}", *v.sites]):
        name, _, target = site.partition(" -> ")
        names = [name] if number else v.server_names or [name]
        upstream = f"batchwright_{number}"
        if target.startswith("/"):
            serves = FOLDER.format(root=nginx_word(target))
        else:
            text += _upstream(v, upstream, target.split(","))
            serves = PROXY.format(upstream=upstream, timeout=_seconds(v.proxy_timeout))
        text += _servers(v, names, serves, " default_server" if number == 0 else "")
    return text


def _upstream(v: Any, name: str, given: Sequence[str]) -> str:
    balance = "" if v.balance == "round_robin" else f"    {v.balance};\n"
    fails = f"max_fails={v.max_fails} fail_timeout={_seconds(v.fail_timeout)}"
    servers = "".join(f"    server {nginx_word(one)} {fails};\n" for one in endpoints(given, v.upstream_port))
    return f"upstream {name} {{\n{balance}{servers}    keepalive 16;\n}}\n"


def _servers(v: Any, names: Sequence[str], serves: str, default: str) -> str:
    """The server blocks of one site: with TLS there are two."""
    head = f"    server_name {' '.join(map(nginx_word, names))};\n"
    head += f"    client_max_body_size {v.max_body};\n"
    health = f"    location = {nginx_word(v.health_path)} {{\n        access_log off;\n        return 200;\n    }}\n"
    here = f"    location / {{\n{serves}    }}\n"
    plain = f"    listen {nginx_word(endpoint(v.bind, v.port))}{default};\n"
    if v.tls == "off":
        return f"server {{\n{plain}{head}{health}{here}}}\n"
    port = "" if v.tls_port == 443 else f":{v.tls_port}"
    leads = f"    location / {{\n        return 308 https://$host{port}$request_uri;\n    }}\n" if v.redirect else here
    secure = (
        f"    listen {nginx_word(endpoint(v.bind, v.tls_port))} ssl http2{default};\n"
        f"    ssl_certificate {PEM};\n    ssl_certificate_key {PEM};\n"
    )
    return f"server {{\n{plain}{head}{health}{leads}}}\nserver {{\n{secure}{head}{health}{here}}}\n"


def _seconds(duration: float) -> str:
    return f"{max(1, round(duration))}s"
