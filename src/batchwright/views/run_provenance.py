"""What a run was planned from, in one line."""

from __future__ import annotations

from batchwright.model.run_provenance import InputFile, RunInputs
from batchwright.printable import printable

DIGITS = 12  # of a digest or a commit


def inputs_line(inputs: RunInputs | None) -> str:
    """Files, values, catalogues, commit, who and where; "" for runs older than this.

    >>> inputs_line(RunInputs((InputFile("shop.ncl", "0f" * 32),), {"n": "2"}, by="ada", machine="vm"))
    'shop.ncl (sha256 0f0f0f0f0f0f), n=2, by ada on vm'
    """
    if inputs is None:
        return ""
    parts = [_file(one) for one in inputs.files]
    parts += [f"{name}={value}" for name, value in inputs.bounded().values.items()]
    parts += [f"catalogue {_file(one)}" for one in inputs.catalogues]
    if inputs.revision:
        state = {True: "", False: ", and files differ from it", None: ", files not compared"}[inputs.clean]
        parts.append(f"commit {inputs.revision[:DIGITS]}{state}")
    parts.append(f"by {inputs.by} on {inputs.machine}")
    parts += [f"approved by {inputs.approved_by}"] if inputs.approved_by else []
    if inputs.plan_file is not None:
        parts.append(f"applied from {_file(inputs.plan_file)}")
    return printable(", ".join(parts))


def _file(one: InputFile) -> str:
    return f"{one.name} (sha256 {one.digest[:DIGITS]})"
