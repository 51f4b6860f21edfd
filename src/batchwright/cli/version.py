"""The commands `version` and `man`: what this installation is, and its manual page."""

from __future__ import annotations

import shutil
import subprocess
import sys

from batchwright import __version__
from batchwright.app.version_report import version_report
from batchwright.cli.exit_codes import Exit
from batchwright.cli.main import command
from batchwright.cli.man_page import man_page
from batchwright.cli.options import Json, NoColor
from batchwright.cli.output import print_json, say


def version(json: Json = False, _no_color: NoColor = False) -> int:
    """Print what this installation is: version, commit, Python, extras, Nickel, and the formats that it writes."""
    report = version_report()
    if json:
        print_json(report)
        return Exit.OK
    commit = f" ({report.commit[:12]}{', modified' if report.modified else ''})" if report.commit else ""
    formats = {name: getattr(report.formats, name) for name in report.formats.__struct_fields__}
    say(f"batchwright {report.version}{commit}")
    say(f"  python   {report.python} on {report.platform}")
    say(f"  nickel   {report.nickel}")
    for extra, packages in report.extras.items():
        say(f"  extra    {extra}: {', '.join(f'{name} {number}' for name, number in packages.items())}")
    say(f"  stores   {', '.join(report.stores)}")
    say(f"  nushell  {report.nushell}")
    say(f"  formats  {', '.join(f'{name} {number}' for name, number in formats.items())}")
    return Exit.OK


def man(json: Json = False, _no_color: NoColor = False) -> int:
    """Show the manual page; into a pipe or a file its source, for: batchwright man > batchwright.1"""
    page = man_page(command(), __version__)
    if json:
        print_json({"page": page})
        return Exit.OK
    if sys.stdout.isatty() and (viewer := shutil.which("man")):
        return subprocess.run([viewer, "-l", "-"], input=page, text=True, check=False).returncode  # noqa: S603
    say(page.rstrip("\n"))
    return Exit.OK
