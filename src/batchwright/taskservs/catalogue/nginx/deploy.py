"""nginx with one site of its own; further sites go into /etc/nginx/conf.d."""

from __future__ import annotations

from typing import Any

from batchwright.taskservs.config_escapes import nginx_word
from batchwright.taskservs.debian import (
    Written,
    endpoint,
    install_packages,
    purge_packages,
    remove_paths,
    run_service,
    stop_service,
)

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
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log;
    include /etc/nginx/conf.d/*.conf;
}}
"""

SITE = """\
# Written by Batchwright.
server {{
    listen {listen} default_server;
    server_name _;
    root /var/www/html;
    index index.html index.nginx-debian.html;
}}
"""


def install(v: Any) -> None:
    """Packages, configuration, then the service."""
    install_packages("nginx")
    main = Written("/etc/nginx/nginx.conf", MAIN.format(connections=v.worker_connections))
    site = Written("/etc/nginx/conf.d/batchwright.conf", SITE.format(listen=nginx_word(endpoint(v.bind, v.port))))
    run_service("nginx", main, site, test="nginx -t -q", logs=("/var/log/nginx/error.log",))


def remove(_v: Any) -> None:
    """Stop it, then purge it with its configuration and logs."""
    stop_service("nginx", "nginx")
    purge_packages("nginx", "nginx-common")
    remove_paths("/etc/nginx", "/var/log/nginx", "/var/lib/nginx", "/var/www/html/index.nginx-debian.html")
