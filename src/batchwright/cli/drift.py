"""The command `drift`: what an environment has, compared with what its runs asked for."""

from __future__ import annotations

from datetime import UTC, date, datetime

from rich.text import Text

from batchwright.cli.environment_argument import EnvironmentArgument, environment_word
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import EnvironmentName, Json, NoColor, Simulate, StateDir, settings_of
from batchwright.cli.output import print_json, say
from batchwright.cli.target import Url, chosen
from batchwright.views.drift import TASKSERV, DriftedField, DriftItem, DriftState, EnvironmentDrift
from batchwright.views.text_format import one_line

STYLES = {DriftState.DRIFTED: "red", DriftState.UNKNOWN: "yellow", DriftState.ACCEPTED: "cyan"}
ITEMS_SHOWN = 200  # --json has all


def drift(
    environment: EnvironmentArgument,
    simulate: Simulate = False,
    env: EnvironmentName = None,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Compare an environment with what its runs asked for. Exit code 0: no drift; 2: drift, or not all was seen."""
    name = environment_word(environment, env, settings_of(state_dir), simulate=simulate)
    with chosen(url, state_dir) as client:
        found = client.drift(name)
    print_json(found) if json else show_drift(found)
    return Exit.OK if found.ok else Exit.COULD_NOT


def show_drift(found: EnvironmentDrift) -> None:
    """Print what differs, then how many are the same."""
    if found.changing:
        say(f"run {found.changing} is changing it, so this may not hold")
    differing = [one for one in found.items if one.state is not DriftState.SAME]
    for one in differing[:ITEMS_SHOWN]:
        _show(one, found.at)
    if len(differing) > ITEMS_SHOWN:
        say(f"and {len(differing) - ITEMS_SHOWN:,} more: --json shows all of them")
    tally = [f"{count:,} {state}" for state, count in found.counts.items() if count]
    simulated = " (simulated)" if found.simulated else ""
    say(Text.assemble((found.environment, "bold"), f"{simulated}  {', '.join(tally) or 'nothing to compare'}"))
    if found.counts[DriftState.DRIFTED]:
        drifted = {one.name for one in differing if (one.kind, one.state) == (TASKSERV, DriftState.DRIFTED)}
        again = "".join(f" --reinstall {name}" for name in sorted(drifted))  # what a plan does not see by itself
        way = f"run its workflow file{f' with{again}' if again else ''} to change it back, or change the file"
        say(f"  next: {way}; plan shows what would be done")


def _differs(one: DriftedField) -> str:
    is_, was = ("are", "were") if one.field == "labels" else ("is", "was")
    return f'{one.field} {is_} "{one.found}" and {was} asked for as "{one.expected}"'


def _acceptance(one: DriftItem, at: float) -> str:
    if date.fromisoformat(one.end) < datetime.fromtimestamp(at, UTC).date():
        return "was accepted until"
    return "accepted until" if one.state is DriftState.ACCEPTED else "accepted in part until"


def _show(one: DriftItem, at: float) -> None:
    where = f" on {one.server}" if one.kind == TASKSERV else f"  {one.ref}" if one.ref else ""
    kind = "" if one.kind in (TASKSERV, "server") else f" ({one.kind})"
    say(Text.assemble((f"{one.state:<8} ", STYLES.get(one.state, "")), (one.name, "bold"), f"{where}{kind}"))
    told = [one.trouble] if one.trouble else []
    told += [_differs(field) for field in one.fields]
    told += [f"an install would change: {change}" for change in one.changes]
    told += [f"the check {check.name} fails: {one_line(check.output)}" for check in one.failed_checks]
    if one.reason:
        told.append(f"{_acceptance(one, at)} {one.end}: {one.reason}")
    for line in told:
        say(f"         {line}")
