"""What an installation says about itself."""

from __future__ import annotations

from batchwright.app.version_report import extras_of, version_report


def test_an_extra_counts_only_with_all_of_its_packages() -> None:
    found = extras_of(
        [
            "msgspec>=0.20",
            'msgspec>=0.20 ; extra == "whole"',
            "rich>=14 ; extra == 'whole'",
            'rich ; extra == "broken"',
            'no-such-package>=1 ; sys_platform == "linux" and extra == "broken"',
            'rich ; extra == "all"',
        ]
    )
    assert list(found) == ["whole"]
    assert list(found["whole"]) == ["msgspec", "rich"]


def test_a_checkout_knows_its_commit() -> None:
    report = version_report()
    assert len(report.commit) == 40
    assert report.nickel
    assert report.formats.events >= 3
