"""The command `ask`: questions that are answered within a budget of tokens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from batchwright.agents.roles.base import AgentAnswer, Subject
from batchwright.agents.roles.prompt import prompt_of
from batchwright.agents.roles.registry import BUNDLES, ROLES, answered, roles_named
from batchwright.agents.slices.registry import SLICES
from batchwright.app.agent_ledger import AgentLedger, AgentUsage, day_of
from batchwright.app.definition_edit import DefinitionChange, edit_definition
from batchwright.app.definition_list_text import Plain
from batchwright.app.file_role_sources import read_plan, read_rehearsal
from batchwright.app.language_model import LanguageModel, worded
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.cli.agent_printer import show_answer, show_prompts, show_slice, show_usage
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import (
    EnvironmentName,
    Inputs,
    Json,
    NoColor,
    Overlays,
    Retire,
    Sim,
    Simulate,
    StateDir,
    settings_of,
    simulation_of,
    source_of,
)
from batchwright.cli.output import note, print_json
from batchwright.cli.target import Url, chosen, show_warnings
from batchwright.client import agent_queries
from batchwright.errors import StoreError, UsageError

USAGE = "usage"
LOOKS = ("find", "show", "compare")  # slices that are no role's answer

Asked = Annotated[
    str,
    typer.Argument(
        metavar="ROLE",
        help=f"{', '.join(ROLES)}; {', '.join(BUNDLES)} for several at once; find or show for single facts;"
        " usage for what asking has used.",
        show_default=False,
    ),
]
About = Annotated[
    str,
    typer.Argument(metavar="SUBJECT", help="A run, `latest`, an environment, or a workflow file.", show_default=False),
]
Query = Annotated[
    list[str] | None,
    typer.Argument(metavar="QUERY", help="What to ask of it, such as cause=quota, or after=120.", show_default=False),
]
Budget = Annotated[int, typer.Option("--budget", metavar="TOKENS", help="The most tokens of the answer; 0: the usual.")]
Show = Annotated[bool, typer.Option("--show", help="Print exactly what a model would be sent, and ask none.")]
Model = Annotated[
    bool, typer.Option("--model", help="Let the language model of [agents] in config.toml word the answer as well.")
]
Like = Annotated[str, typer.Option("--like", metavar="SERVER", help="author: a server of the file to add more of.")]
Count = Annotated[int, typer.Option("--count", metavar="N", help="author: how many servers to add.")]
Zone = Annotated[str, typer.Option("--zone", metavar="ZONE", help="author: their zone, if it is another one.")]

Remove = Annotated[
    list[str] | None, typer.Option("--remove", metavar="SERVER", help="author: a server to take out; repeatable.")
]
Resize = Annotated[
    list[str] | None,
    typer.Option("--resize", metavar="SERVER=PLAN", help="author: a server's new plan; repeatable."),
]
Service = Annotated[
    str, typer.Option("--service", metavar="NAME", help="author: a task service to install, with --on and --var.")
]
On = Annotated[str, typer.Option("--on", metavar="WORD", help="author: the server or operation to install it on.")]
Variables = Annotated[
    list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="author: a variable of the task service.")
]


def ask(
    role: Asked,
    subject: About = "",
    query: Query = None,
    budget: Budget = 0,
    show: Show = False,
    model: Model = False,
    like: Like = "",
    count: Count = 1,
    zone: Zone = "",
    remove: Remove = None,
    resize: Resize = None,
    service: Service = "",
    on: On = "",
    variables: Variables = None,
    simulate: Simulate = False,
    sim: Sim = None,
    env: EnvironmentName = None,
    retire: Retire = False,
    overlay: Overlays = None,
    inputs: Inputs = None,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Ask a role about a run, a plan or an environment: facts, the gravest first, within a budget of tokens."""
    if role == USAGE:
        return _usage(state_dir, json=json)
    words = " ".join(query or ())
    if not subject:
        raise UsageError("what is it about?", hint=f"batchwright ask {role} latest")
    source = source_of(Path(subject), overlay, inputs, env, retire=retire)
    if role in LOOKS:
        return _look(role, subject, words, budget, state_dir, url, json=json)
    reads = roles_named(role)[0].subject
    settings, simulation = settings_of(state_dir), simulation_of(simulate, sim)
    if reads is Subject.FILE:
        change = DefinitionChange(
            like,
            count,
            zone,
            remove or (),
            _pairs("--resize", resize),
            service,
            on,
            _scalars(_pairs("--var", variables)),
        )
        if not change.verbs:
            hint = f"batchwright ask {role} {subject} --like SERVER --count 2; or --remove, --resize, --service."
            raise UsageError("which change?", hint=hint)
        found = answered(role, edit_definition(settings, source, change), words, budget)
    elif reads is Subject.REHEARSAL:
        found = answered(role, read_rehearsal(Path(subject)), words, budget)
    elif reads is Subject.PLAN and Path(subject).is_file():
        found = answered(role, asyncio.run(read_plan(settings, source, simulation)), words, budget)
    else:
        with chosen(url, state_dir) as client:
            found = agent_queries.ask(client, role, subject, words, budget)
            show_warnings(client)
    if show:
        return _tell(found, show=True, json=json)
    if model:
        asked = worded(LanguageModel(settings, SystemClock().now), ROLES, found.reports)
        found = AgentAnswer(found.asked, asyncio.run(asked))
    _recorded(settings, found)
    return _tell(found, show=False, json=json)


def _pairs(option: str, words: list[str] | None) -> dict[str, str]:
    pairs = [word.partition("=") for word in words or ()]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise UsageError(f"{option} {name}{equals}{value}", hint=f"Write {option} NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def _scalars(values: dict[str, str]) -> dict[str, Plain]:
    """Numbers, true and false as such; anything else is a text."""

    def scalar(word: str) -> Plain:
        try:
            value = msgspec.json.decode(word, type=bool | int | float)
        except msgspec.MsgspecError:
            return word
        return value

    return {name: scalar(word) for name, word in values.items()}


def _look(kind: str, run: str, words: str, budget: int, state_dir: Path | None, url: str | None, *, json: bool) -> int:
    assert kind in SLICES
    with chosen(url, state_dir) as client:
        told = agent_queries.read_slice(client, kind, run, words, budget)
        show_warnings(client)
    print_json(told) if json else show_slice(told)
    return Exit.OK


def _usage(state_dir: Path | None, *, json: bool) -> int:
    rows = AgentLedger(settings_of(state_dir).state_dir).rows()
    print_json({"usage": rows}) if json else show_usage(rows)
    return Exit.OK


def _recorded(settings: Settings, found: AgentAnswer) -> None:
    """Count the answers. One that cannot be counted is given all the same."""
    ledger, day = AgentLedger(settings.state_dir), day_of(SystemClock().now())
    try:
        for one in found.reports:
            ledger.add(AgentUsage(day, one.role, one.subject, answers=1, tokens=one.tokens))
    except StoreError as error:
        note(f"not counted in the ledger: {error.message}", "yellow")


def _tell(found: AgentAnswer, *, show: bool, json: bool) -> int:
    if show:
        prompts = [prompt_of(ROLES[one.role], one) for one in found.reports]
        print_json(prompts) if json else show_prompts(prompts)
    elif json:
        print_json(found)
    else:
        show_answer(found)
    return Exit.OK
