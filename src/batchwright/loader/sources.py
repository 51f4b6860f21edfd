"""The files of a workflow: read once, within bounds, with every import followed before anything is evaluated."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from batchwright.errors import FileUnreadable
from batchwright.loader import nickel_expressions, nickel_scanner
from batchwright.loader.depth import too_deep
from batchwright.loader.limits import MIB, LoaderLimits
from batchwright.model.diagnostic import Diagnostic

YAML = (".yaml", ".yml")
NICKEL, DATA = (".ncl",), (".json", *YAML)
ALIAS = re.compile(r"(?:^|[\s\[{,:-])\*\w")
FORMS = {".json": "json", **dict.fromkeys(YAML, "yaml"), ".toml": "toml", ".txt": "text"}
START = nickel_scanner.Position(1, 1)
FORMATS = "Name it *.ncl, *.json or *.yaml."
NO_BOM = "Save it as UTF-8 without a byte order mark."


class SourceFile(Struct, frozen=True):
    """One file. `shown` is its name in messages; `above` counts the lines that were put before the user's text.

    `form` is what it is read as, in Nickel's words in lower case: nickel, json, yaml, text.
    """

    path: str
    shown: str
    text: str
    above: int = 0
    form: str = "nickel"

    @property
    def content(self) -> str:
        """What it holds, as a Nickel expression."""
        has_aliases = self.form == "yaml" and ALIAS.search(self.text) is not None
        return nickel_expressions.content(self.path, self.form, has_aliases=has_aliases)

    def line(self, number: int) -> str:
        """A line of it, empty when there is no such line."""
        lines = self.text.split("\n", number)
        return lines[number - 1].rstrip("\r") if 0 < number <= len(lines) else ""


class Sources:
    """The file, its overlays, and what they import. `problems` are the parts that cannot be used."""

    def __init__(self, limits: LoaderLimits, schema_folder: Path) -> None:
        self.limits = limits
        self.schema_folder = schema_folder
        self.mark = f"$problems-{secrets.token_hex(8)}"  # of the contracts' report; no file can know it
        self.problems: list[Diagnostic] = []
        self.main: list[SourceFile] = []  # the file, then its overlays
        self.original = ""  # what the file was made from, where keys given twice would be lost in it
        self.roots: list[Path] = [schema_folder]
        self._by_path: dict[str, SourceFile] = {}
        self._imports = 0
        self._more = 0  # problems beyond those that are kept

    def add(self, file: Path, shown: str | None = None) -> None:
        """Read the file or an overlay. Raises FileUnreadable."""
        path, shown = os.path.abspath(file), shown or str(file)  # noqa: PTH100 - links stay as written
        try:
            content = _read(path, self.limits.file_bytes)
        except OSError as error:
            raise FileUnreadable(f"cannot read {shown}: {error.strerror or error}") from error
        if self.limits.imports:
            self.roots += [Path(path).parent, Path(os.path.realpath(path)).parent, *self.limits.import_roots]
        else:
            self.roots.append(Path(os.path.realpath(path)))
        suffix = Path(path).suffix.lower()
        source = self._decode(path, shown, content, _form(suffix))
        if source is None:
            return
        self.main.append(source)
        if suffix in NICKEL:
            self._follow(source, (os.path.realpath(path),))
        elif suffix not in DATA:
            self._refuse(source, "unknown-format", f"the format of {Path(path).name} is not known", hint=FORMATS)

    def defining(self, names: Sequence[str], folder: Path) -> Sources | None:
        """The same with a copy of the file in `folder` that defines these names; None for data and for what imports."""
        file, *overlays = self.main
        if Path(file.path).suffix.lower() not in NICKEL or nickel_scanner.imports(file.text):
            return None
        fields = ", ".join(f'{name} = {{ "{self.mark}" = [] }}' for name in names)
        copy = folder / "workflow.ncl"
        copy.write_text(f"let {fields} in\n{file.text}", encoding="utf-8", newline="")
        other = Sources(replace(self.limits, file_bytes=self.limits.file_bytes * 2), self.schema_folder)
        other.mark = self.mark
        other.add(copy, shown=file.shown)
        other.main = [replace(file, path=str(copy), above=1)]
        other._by_path = {str(copy): other.main[0], os.path.realpath(copy): other.main[0]}
        for overlay in overlays:
            other.add(Path(overlay.path), shown=overlay.shown)
        return other

    def shown(self, path: str) -> SourceFile | None:
        """The source that Nickel calls `path`, None for the contracts and for what is no file."""
        if path in self._by_path:
            return self._by_path[path]
        try:
            return self._by_path.get(os.path.realpath(path))
        except FileNotFoundError:  # a relative one, and the working folder is gone
            return None

    def nickel(self) -> list[SourceFile]:
        """The files that are evaluated or parsed as Nickel, JSON or YAML."""
        return list({source.path: source for source in self._by_path.values()}.values())

    def rank(self, shown: str) -> int:
        """Files in the order in which they were met."""
        order = list(dict.fromkeys(source.shown for source in self._by_path.values()))
        return order.index(shown) if shown in order else len(order)

    @property
    def told(self) -> tuple[Diagnostic, ...]:
        """The problems, and how many were left out."""
        if not self._more:
            return tuple(self.problems)
        message = f"and {self._more} more; correct these first"
        return (*self.problems, Diagnostic("more-mistakes", message, file=self.problems[0].file, line=1, column=1))

    def _refuse(
        self, source: SourceFile, code: str, message: str, place: nickel_scanner.Position = START, hint: str = ""
    ) -> None:
        if len(self.problems) >= self.limits.diagnostics:
            self._more += 1
            return
        self.problems.append(
            Diagnostic(code, message, file=source.shown, line=place.line, column=place.column, hint=hint)
        )

    def _decode(self, path: str, shown: str, content: bytes | None, form: str) -> SourceFile | None:
        source = SourceFile(path, shown, "")
        if content is None:
            limit = self.limits.file_bytes / MIB
            self._refuse(source, "file-too-large", f"the file is larger than {limit:g} MiB")
            return None
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            before = content[: error.start].decode()
            self._refuse(source, "not-utf-8", "this is not UTF-8 text", nickel_scanner.Places(before).of(len(before)))
            return None
        if text.startswith("\ufeff"):
            self._refuse(source, "byte-order-mark", "the file starts with a byte order mark", hint=NO_BOM)
            return None
        if form == "json" and (place := too_deep(text, self.limits.depth)) is not None:
            message = f"this is nested in more than {self.limits.depth} brackets"
            self._refuse(source, "too-deep", message, place, "A workflow needs about ten levels.")
            return None
        source = SourceFile(path, shown, text, form=form)
        self._by_path[path] = self._by_path[os.path.realpath(path)] = source
        return source

    def _follow(self, source: SourceFile, chain: tuple[str, ...]) -> None:
        """Check the imports of a Nickel text, and theirs; `chain` holds the files that led here, itself last."""
        if not self.limits.imports:
            for place in nickel_scanner.possible_imports(source.text):
                self._refuse(source, "import-refused", "a workflow from this source cannot import files", place)
            return
        for found in nickel_scanner.imports(source.text):
            target = self._target(source, found)
            if target is None or (target in self._by_path and target not in chain):
                continue
            if target in chain:
                self._refuse(source, "import-cycle", f"{found.target} imports itself", found.place)
                continue
            self._imports += 1
            if self._imports > self.limits.imports:
                self._refuse(
                    source, "too-many-imports", f"more than {self.limits.imports} files are imported", found.place
                )
                return
            self._read_import(source, found, target, chain)

    def _target(self, source: SourceFile, found: nickel_scanner.Import) -> str | None:
        """The real path of what is imported; None when it is refused or one of the contracts."""
        if found.target is None or "\0" in found.target:
            message = 'an import needs a literal file name: import "FILE"'
            self._refuse(source, "import-refused", message, found.place)
            return None
        target = os.path.realpath(Path(source.path).parent / found.target)
        if Path(target).is_relative_to(os.path.realpath(self.schema_folder)):
            return None
        roots = [os.path.realpath(root) for root in self.roots if Path(root) != self.schema_folder]
        if not any(Path(target).is_relative_to(root) for root in roots):
            message = f"{found.target} is outside the folders that may be imported"
            hint = "Copy it next to the workflow file."
            self._refuse(source, "import-refused", message, found.place, hint)
            return None
        return target

    def _read_import(
        self, source: SourceFile, found: nickel_scanner.Import, target: str, chain: tuple[str, ...]
    ) -> None:
        written = str(found.target)
        suffix = Path(written).suffix
        if not found.form and suffix not in FORMS and (meant := FORMS.get(suffix.lower())):
            message = f"Nickel reads {written} as Nickel, because {suffix} is not {suffix.lower()}"
            hint = f'Write: import "{written}" as \'{meant.capitalize()}'
            self._refuse(source, "unknown-format", message, found.place, hint)
            return
        try:
            content = _read(target, self.limits.file_bytes)
        except OSError as error:
            message = f"cannot read {written}: {error.strerror or error}"
            self._refuse(source, "import-not-found", message, found.place, "The path is relative to this file.")
            return
        path = os.path.normpath(Path(source.path).parent / written)
        shown = os.path.normpath(Path(source.shown).parent / written)
        form = found.form.lower() or _form(suffix)
        imported = self._decode(path, shown, content, form)
        if imported is not None and form == "nickel":
            self._follow(imported, (*chain, target))


def _form(suffix: str) -> str:
    """What Nickel takes a file for; whatever it does not know is Nickel."""
    return FORMS.get(suffix, "nickel")


def _read(path: str, limit: int) -> bytes | None:
    """The content of a regular file, None when it is larger than `limit`. Never waits for a pipe or a device."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "it is not a regular file")
        content = file.read(limit + 1)
    return content if len(content) <= limit else None


def schema_folder() -> Path:
    """The folder of the contracts, inside the installed package."""
    return Path(__file__).resolve().parent.parent / "schemas"
