"""What a plug-in imports from `batchwright` shows how it is used, and the examples work."""

from __future__ import annotations

import doctest
import inspect
import sys

import batchwright


def test_every_public_class_has_an_example_that_works() -> None:
    public = [(name, getattr(batchwright, name)) for name in batchwright.__all__]
    documented = [one for one in public if inspect.isclass(one[1]) or inspect.isfunction(one[1])]
    assert {name for name, _ in public} - {name for name, _ in documented} == {"Scalar"}, "an alias has no docstring"
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(verbose=False)
    told: list[str] = []
    for name, one in documented:
        found = [
            test for test in finder.find(one, name, globs=dict(vars(sys.modules[one.__module__]))) if test.examples
        ]
        assert found, f"{name} has no example"
        for test in found:
            runner.run(test, out=told.append)
    assert runner.failures == 0, "".join(told)
