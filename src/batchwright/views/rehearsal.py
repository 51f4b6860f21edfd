"""The report of a rehearsal: what was tried, what was found, and what a person would have to do."""

from __future__ import annotations

from msgspec import Struct

from batchwright.views.text_format import counted

LEVELS = ("error", "warning", "note")


class RehearsalCell(Struct, frozen=True):
    """How the runs with one fault in one operation ended; `same`: as without the fault."""

    fault: str
    runs: int
    same: int
    rolled_back: int
    help: int
    stuck: int
    broken: int


class RehearsalRow(Struct, frozen=True):
    """One operation, provider or `(store)`; `type` is the operation's, or `provider` or `store`."""

    operation: str
    type: str
    cells: tuple[RehearsalCell, ...]


class RehearsalFault(Struct, frozen=True):
    """A fault: how often it took place, and what it is."""

    fault: str
    fired: int
    meaning: str


class RehearsalMoment(Struct, frozen=True, omit_defaults=True):
    """One line of a timeline: seconds since the start, the process (0: the world), and what happened."""

    at: float
    process: int
    what: str
    mark: str = ""  # one of MARKS; empty for an ordinary call


class RehearsalFinding(Struct, frozen=True):
    """Findings of one cause.

    `kind` is an invariant that does not hold, what people had to do (doubt, resume, rollback, answer), stuck,
    taken_back or not_restored.
    `about` are the steps, servers or functions, `runs` is in how many runs it was found. `repeat` is the command that
    repeats the simplest of them, at the point `at`.
    """

    id: str
    level: str
    kind: str
    title: str
    operation: str
    fault: str
    about: tuple[str, ...]
    runs: int
    do: str
    instead: str
    at: str
    repeat: str
    file: str = ""
    line: int = 0
    column: int = 0
    timeline: tuple[RehearsalMoment, ...] = ()


class RehearsalSpread(Struct, frozen=True):
    """A number without faults, and over all faults: the median, the 90th percentile and the most."""

    undisturbed: float
    median: float
    p90: float
    most: float


class RehearsalCoverage(Struct, frozen=True):
    """How much was tried.

    `points` are the sides of all calls; at `same` of them a process that dies leaves the same behind as at another one,
    so they are no experiments of their own. `kinds` are faults at calls that are not alike, `alike` those of which one
    stands for all. `nested` are faults while a crash was recovered from, `chance` runs with several faults at random
    places, and `not_reached` those of which not all faults took place.
    """

    runs: int
    crashes: int
    points: int
    same: int
    kinds: int
    kinds_done: int
    nested: int
    nested_done: int
    alike: int
    alike_done: int
    chance: int
    not_reached: int
    seconds: float


class RehearsalSelfCheck(Struct, frozen=True):
    """The bug that was planted for a moment, and after how many runs it was found; 0: it was not."""

    bug: str
    meaning: str
    runs: int

    @property
    def found(self) -> bool:
        """Whether the rehearsal can be believed."""
        return self.runs > 0


class RepeatedExperiment(Struct, frozen=True):
    """The one experiment that was asked for with --at. `outcome` is same, rolled_back, help, stuck or broken; `missed`
    are faults that did not take place, since the run made no such call.
    """

    at: str
    outcome: str
    status: str
    missed: tuple[str, ...]
    timeline: tuple[RehearsalMoment, ...]


class RehearsalView(Struct, frozen=True):
    """All of it. `ok`: there is no error and no warning. Durations are in seconds, costs by currency."""

    file: str
    workflow: str
    environment: str
    ok: bool
    headline: str
    seed: int
    steps: int
    status: str
    findings: tuple[RehearsalFinding, ...]
    matrix: tuple[RehearsalRow, ...]
    faults: tuple[RehearsalFault, ...]
    duration: RehearsalSpread
    cost: dict[str, RehearsalSpread]
    coverage: RehearsalCoverage
    self_check: RehearsalSelfCheck
    not_explored: tuple[str, ...]
    cannot_tell: tuple[str, ...]
    providers: dict[str, str] = {}
    repeated: RepeatedExperiment | None = None


OUTCOMES = {
    "same": "it ended as without the fault",
    "rolled_back": "the run took itself back",
    "help": "it ended as without the fault, once a person had helped",
    "stuck": "a person could not bring it to its end by resuming",
    "broken": "it did not end as it must",
}

FAULTS = {
    "crash": "the process dies just before or just after a call",
    "lost_answers": "a call takes effect and its answer is lost",
    "late_commits": "a create call is not answered and takes effect later",
    "list_lag": "a new server is not listed yet",
    "transient": "a call is refused once, or a read fails once",
    "throttle": "the provider refuses a call since there were too many",
    "capacity": "a zone has no room until somebody makes some",
    "quota": "the account is at its limit until somebody raises it",
    "auth": "the credentials are refused until somebody renews them",
    "never_ready": "a server never becomes ready",
    "vanishes": "somebody destroys a server that the run has just created",
    "exit": "a program or an install fails each time until somebody mends the cause",
    "timeout": "a call takes longer than it may; a check is not well until somebody mends the cause",
    "wrong_status": "a check gets another HTTP status until somebody mends the cause",
    "wrong_body": "a check does not find its text in what HTTP answers until somebody mends the cause",
    "output_flood": "a program prints 2 MB",
    "refused": "the person who is asked says no",
    "expired": "nobody answers a question",
    "clock_jump": "the clock of this machine is set forward or back by an hour",
    "full_disk": "the disk that holds the store is full for a while",
    "second_driver": "the process is suspended, another one takes the run over, and then the first goes on",
    "second_change": "somebody else begins to change the same environment",
}

_TITLES = {
    "status": "the run does not end as it should",
    "no_duplicate": "a server exists twice",
    "no_leftover": "something is left that the run does not know",
    "nothing_lost": "something that was there before is gone",
    "environment": "what is recorded of the environment is wrong",
    "command_once": "a command that is not idempotent did not run exactly once",
    "undone": "an undo did not run, or ran where it should not",
    "changed": "what the run changed is not as planned",
    "same_end": "the end is not the same as without the fault",
    "as_planned": "the run says that it has completed, and not all of its plan is there",
    "created_once": "a server was created twice, if only for a while",
    "foreign": "a server of somebody else was touched",
    "fence": "a process that had lost the run still changed something",
    "ends": "the run does not come to an end",
    "raises": "the engine ends with an unexpected error",
    "user": "a rule of the file does not hold",
    "stuck": "resuming does not help",
    "doubt": "a person would be asked what became of a command",
    "resume": "the run stops, and a person has to resume it",
    "rollback": "the rollback leaves something, and a person has to try it again",
    "taken_back": "the run takes itself back, with all that it created",
    "not_restored": "a rollback does not bring it back",
    "answer": "the run waits until somebody answers",
}

CANNOT_TELL = (
    "whether a program does what it should: commands, checks and installs are not run",
    "whether a provider keeps what it promises: how late a create may take effect is taken from its adapter",
    "real prices, quotas and times: they are the tables' and the catalogue's estimates",
    "bugs that the simulation shares with the engine: the world and the run come from one author",
)


def fault_words(fault: str) -> str:
    """What faults are, for people: `crash+exit` are two of them."""
    words = [FAULTS.get(one, one) for one in fault.split("+") if one]
    return ", and ".join(words) if words else "nothing at all"


def finding_title(kind: str, about: tuple[str, ...], why: str) -> str:
    """One line that says what was found. For a user's rule `why` says which."""
    title = _TITLES[kind]
    if kind == "user":
        return f"{title}: {why}"
    named = f"{about[0]}: " if about and about[0] else ""
    more = f" ({counted(len(about) - 1, 'more place')})" if len(about) > 1 else ""
    return f"{named}{title}{more}"


def what_to_do(kind: str, step: str, fault: str, why: str, *, answers: bool) -> str:
    """What a person would have to do when it happens."""
    match kind:
        case "doubt" if answers:
            return f"It has to run again, since only running it tells its answer: batchwright resume RUN --redo {step}"
        case "doubt":
            return (
                "Look whether it ran, then: batchwright resume RUN "
                f"--skip {step} if it did, --redo {step} if it did not."
            )
        case "answer":
            return "Answer: batchwright approve RUN, or batchwright refuse RUN."
        case "rollback":
            return f"{_mend(fault, why)}, then: batchwright rollback RUN"
        case "resume":
            return f"{_mend(fault, why)}, then: batchwright resume RUN"
        case "stuck" if "vanishes" in fault:
            return "Run the file again: batchwright run FILE. Its plan sees that the server is gone."
        case "stuck":
            return "Look at it: batchwright explain RUN STEP; or take it back: batchwright rollback RUN"
        case "not_restored":
            return "Keep what is on it elsewhere before it is destroyed."
        case "taken_back":
            return f"{_mend(fault, why)}, then run the file again: batchwright run FILE"
        case "user":
            return "Change the file or the rule."
    return "This is a bug in Batchwright. Please report it with this file and the line that repeats it."


def _mend(fault: str, why: str) -> str:
    for word, text in _MENDS.items():
        if word in (why, *fault.split("+")):
            return text
    return "Nothing but wait"


_MENDS = {
    "capacity": "Wait until the zone has room",
    "quota": "Ask the provider for a higher limit",
    "auth": "Renew the credentials",
    "exit": "Mend what makes it fail",
    "refused": "Change what was refused",
    "expired": "Find somebody who answers",
    "timeout": "Mend what is slow or not well",
    "wrong_status": "Mend what answers with another status",
    "wrong_body": "Mend what answers with another text",
    "clock_jump": "Set the clock right",
    "vanishes": "Find out who destroyed the server",
}


def instead(kind: str, fault: str, *, alternatives: bool) -> str:
    """What could stand in the file so that it does not happen; empty if nothing could."""
    if kind == "doubt":
        return (
            "If it may run twice, write: idempotent = true. If something shows that it is done, write: unless = "
            '["PROGRAM", ...]. Then nobody is asked.'
        )
    if kind == "resume" and "capacity" in fault and not alternatives:
        return 'Let the servers go elsewhere: otherwise = [{ zone = "..." }]'
    if kind == "resume" and "expired" in fault:
        return "Give people longer, or let it go on: expires and on_expiry of the approval"
    if kind == "taken_back":
        return 'If what is there should stay until somebody has looked, write: on_failure = "stop"'
    if kind == "answer":
        return "Let the question expire: expires = ..."
    if kind == "resume" and fault in ("transient", "never_ready", "lost_answers"):
        return "Let it try more often: retry = { max_attempts = ... }"
    return ""


MARKS = frozenset({"starts", "dies", "ends", "suspended", "error", "fault", "help", "vanished"})
_MOMENTS = {
    "suspended": "is suspended",
    "error": "ends with the error {about}",
    "vanished": "somebody destroys {about}",
    "help doubt": "a person says what became of {about}",
    "help resume": "a person mends it and resumes the run",
    "help rollback": "a person mends it and rolls back again",
    "help answer": "a person answers {about}",
    "did create": "{about} exists",
    "did destroy": "{about} is destroyed",
    "did change": "{about} is changed",
    "did install": "{about} is installed",
    "did remove": "{about} is removed",
    "did run": "{about} has run",
    "did undo": "{about} is undone",
}


def moment(what: str, about: str) -> str:
    """One line of a timeline."""
    return _MOMENTS.get(what, "{what} {about}").format(what=what, about=about).strip()


def headline(view_findings: tuple[RehearsalFinding, ...], runs: int, crashes: int) -> str:
    """The one line above all."""
    tried = f"{counted(runs, 'run')} with {counted(crashes, 'crash')}".replace("crashs", "crashes")
    errors = sum(one.level == "error" for one in view_findings)
    warnings = sum(one.level == "warning" for one in view_findings)
    notes = sum(one.level == "note" for one in view_findings)
    if not errors and not warnings:
        also = f"; {counted(notes, 'fault')} would need a person" if notes else ""
        return f"Nothing wrong was found in {tried}{also}."
    parts = [counted(errors, "error")] * bool(errors) + [counted(warnings, "warning")] * bool(warnings)
    return f"{' and '.join(parts)} in {tried}."


def not_explored(
    *, kinds: int, nested: int, alike: int, never: tuple[str, ...], rollback: bool, ends: int
) -> list[str]:
    """What was not looked at, and why."""
    told = []
    if kinds:
        told.append(f"{counted(kinds, 'fault')} at calls of their own kind: there was no time; give more --seconds")
    if nested:
        told.append(f"{counted(nested, 'fault')} inside a recovery: there was no time; give more --seconds")
    if alike:
        told.append(f"{counted(alike, 'fault')} at calls that are like one that was tried; give more --seconds")
    if never:
        told.append(f"faults that never took place here: {', '.join(never)}")
    if not rollback:
        told.append("the rollback: the file forbids it (rollback_enabled = false)")
    if ends:
        told.append(f"the file's own rules in {counted(ends, 'run')}: there were too many different ends")
    return told
