"""Serves the page in front of the API: browsers get it at `/` and below `/ui/`, every other request goes on."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any
from urllib.parse import parse_qs

from batchwright.dashboard.plain_tables import PlainTables
from batchwright.errors import BatchwrightError
from batchwright.service.run_supervisor import RunSupervisor

# The types of ASGI, loosely, so that this room does not depend on the framework of the API.
Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

UI = "/ui/"
STATIC = UI + "static/"
SCRIPT = "js/main.js"
SCREENS = {
    "": "home",
    "runs": "run",
    "environments": "servers",
}  # modules, by the first part of a path
IMPORT = re.compile(r"^import .* from '\./(\w+\.js)';$", re.MULTILINE)
PLAIN = UI + "plain"
KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
VENDORED = "vendor/htm-preact.js"
MISSING = (
    "The page is not complete: the files that draw it were not fetched. In a clone of the repository, run "
    "scripts/web.sh .venv and start the service again. The API and the command line work without them."
)


class StaticFile:
    """A file of the page."""

    def __init__(self, name: str, body: bytes) -> None:
        self.body = body
        self.packed = gzip.compress(body, mtime=0)
        self.kind = KINDS[name.rpartition(".")[2]]
        self.tag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'


def static_files() -> dict[str, StaticFile]:
    """Every file of the page by its path below `static/`."""
    found: dict[str, StaticFile] = {}

    def walk(folder: Traversable, prefix: str) -> None:
        for one in folder.iterdir():
            if one.is_dir():
                walk(one, f"{prefix}{one.name}/")
            elif one.name.rpartition(".")[2] in KINDS:
                found[prefix + one.name] = StaticFile(one.name, one.read_bytes())

    walk(files("batchwright.dashboard").joinpath("static"), "")
    return found


class Page:
    """ASGI: the page over one supervisor, in front of the calls."""

    def __init__(self, calls: App, supervisor: RunSupervisor) -> None:
        self._calls = calls
        self._tables = PlainTables(supervisor)
        self._files = static_files()
        self._version = hashlib.sha256("".join(file.tag for file in self._files.values()).encode()).hexdigest()[:12]
        self._shell = self._files.pop("page.html").body.decode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        path = scope.get("path", "")
        wanted = path.startswith(UI) or (path == "/" and b"text/html" in _header(scope, b"accept"))
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or not wanted:
            await self._calls(scope, receive, send)
        elif path.startswith(STATIC):
            await self._file(path.removeprefix(STATIC), scope, receive, send)
        elif VENDORED not in self._files and path != PLAIN:
            await _answer(scope, send, 503, MISSING.encode(), {"content-type": "text/plain; charset=utf-8"})
        else:
            await self._html(scope, send)

    def _modules(self, path: str) -> list[str]:
        """What a browser needs for this address. Knowing it, it fetches all of it at once and not level by level."""
        word = path.removeprefix(UI).strip("/").partition("/")[0]
        screen = f"js/{SCREENS.get(word, word)}.js"
        found = [VENDORED, SCRIPT, *({screen} & self._files.keys())]
        for name in found:
            if name != VENDORED and name in self._files:
                text = self._files[name].body.decode()
                found += [f"js/{one}" for one in IMPORT.findall(text) if f"js/{one}" not in found]
        return found

    async def _file(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        version, _, rest = name.partition("/")
        file = self._files.get(rest if version == self._version else name)
        if file is None:
            await self._calls(scope, receive, send)
            return
        kept = "public, max-age=31536000, immutable" if version == self._version else "no-cache"
        headers = {"content-type": file.kind, "etag": file.tag, "cache-control": kept, "vary": "accept-encoding"}
        if file.tag.encode() in _header(scope, b"if-none-match"):
            await _answer(scope, send, 304, b"", headers)
        elif b"gzip" in _header(scope, b"accept-encoding"):
            await _answer(scope, send, 200, file.packed, {**headers, "content-encoding": "gzip"})
        else:
            await _answer(scope, send, 200, file.body, headers)

    async def _html(self, scope: Scope, send: Send) -> None:
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        root = "../" * (raw.partition(b"?")[0].count(b"/") - 1)
        status = 200
        if scope["path"] == PLAIN:
            query = {key: found[0] for key, found in parse_qs(scope["query_string"].decode("latin-1")).items()}
            try:
                text = await self._tables.page(query, allowed=scope["state"]["caller"] is not None)
            except BatchwrightError as error:
                status, text = 404, self._tables.refusal(error)
        else:
            links = (f'<link rel="modulepreload" href="{{static}}{name}">\n' for name in self._modules(scope["path"]))
            text = self._shell.replace("{preload}\n", "".join(links))
        text = text.replace("{static}", f"{{root}}ui/static/{self._version}/")
        body = text.replace("{root}", root or "./").encode()
        headers = {"content-type": KINDS["html"], "content-security-policy": POLICY, "vary": "accept, cookie"}
        await _answer(scope, send, status, body, headers)


def _header(scope: Scope, name: bytes) -> bytes:
    return b",".join(value for key, value in scope["headers"] if key.lower() == name)


async def _answer(scope: Scope, send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body, "more_body": False})
