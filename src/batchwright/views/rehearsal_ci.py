"""A rehearsal's report for CI: JUnit XML, and annotations on the lines of a pull request."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as Xml

from batchwright.printable import printable
from batchwright.views.rehearsal import RehearsalFinding, RehearsalView, fault_words

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def rehearsal_junit(view: RehearsalView) -> str:
    """One test case for each fault in each operation; it fails if there is an error or a warning about it."""
    failing = {(one.operation, one.fault): one for one in reversed(view.findings) if one.level != "note"}
    cells = [(row.operation, cell.fault) for row in view.matrix for cell in row.cells]
    others = [one for place, one in failing.items() if place not in cells]
    suite = Xml.Element("testsuite", name=f"rehearsal of {view.workflow}", time=f"{view.coverage.seconds:.2f}")
    for place, fault in cells:
        case = Xml.SubElement(suite, "testcase", classname=printable(place), name=fault)
        if (found := failing.get((place, fault))) is not None:
            _failed(case, found)
    for found in others:
        _failed(
            Xml.SubElement(suite, "testcase", classname=printable(found.operation), name=found.fault or "none"), found
        )
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in suite)))
    return Xml.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _failed(case: Xml.Element, found: RehearsalFinding) -> None:
    failure = Xml.SubElement(case, "failure", type=found.kind, message=printable(found.title))
    failure.text = printable("\n".join(_words(found)))


def rehearsal_annotations(view: RehearsalView) -> Iterator[str]:
    """Workflow commands of GitHub Actions, one for each finding."""
    for one in view.findings:
        place = f"file={_value(one.file)},line={one.line},col={one.column}," if one.line else ""
        words = "%0A".join(_data(line) for line in _words(one))
        yield f"::{_COMMANDS[one.level]} {place}title={_value(one.title)}::{words}"


def _words(one: RehearsalFinding) -> list[str]:
    lines = [f"When {fault_words(one.fault)}.", one.do, one.instead, f"Repeat: {one.repeat}"]
    return [line for line in lines if line]


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
