"""Prints what roles answer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from batchwright.agents.roles.base import AgentAnswer, AgentReport, ModelWords
from batchwright.agents.roles.payloads import DefinitionPatch
from batchwright.agents.roles.prompt import Prompt
from batchwright.agents.slices.base import Slice
from batchwright.app.agent_ledger import AgentUsage
from batchwright.cli.output import note, say, say_exactly
from batchwright.views.text_format import counted


def show_answer(answer: AgentAnswer) -> None:
    """Print each report: the summary, the facts, and what could be done."""
    for number, one in enumerate(answer.reports):
        if number:
            say("")
        _show(one)


def _show(one: AgentReport) -> None:
    say(Text.assemble((one.role, "bold"), f"  {one.subject}{f', event {one.as_of_seq}' if one.as_of_seq else ''}"))
    say(one.summary)
    for line in one.text.splitlines():
        say(f"  {plain(line)}")
    if isinstance(one.payload, DefinitionPatch):  # as `git apply` takes it
        say_exactly(one.payload.patch)
    for action in one.actions:
        before = f"  ({action.reason} first)" if action.reason else ""
        takes = f"  (takes away {action.destroys})" if action.destroys else ""
        say(f"  {action.action}: {action.command}{takes}{before}")
    if one.words is not None:
        _show_words(one.words)
    if one.note:
        note(one.note, "yellow")
    say(Text(f"  {one.tokens} of {one.budget} tokens", style="dim"))


def _show_words(words: ModelWords) -> None:
    """Print what a model said, and which of its words stand in nothing that it was sent."""
    say(Text(f"  {words.model} says (nothing is done by it):", style="bold"))
    for one in words.findings:
        doubtful = f"  [unverified: {', '.join(one.unverified)}]" if one.unverified else ""
        say(f"    {one.claim}{doubtful}")
    say(Text(f"  {words.tokens_in} tokens sent, {words.tokens_out} received", style="dim"))


def show_usage(rows: Sequence[AgentUsage]) -> None:
    """Print what asking has used."""
    if not rows:
        say("nothing has been asked yet")
    for one in rows:
        model = f"  model: {counted(one.calls, 'call')}, {one.sent:,} in, {one.received:,} out" if one.calls else ""
        about = one.run or "several"
        say(f"{one.day}  {one.role:<10}  {about:<14}  {counted(one.answers, 'answer')}, {one.tokens:,} tokens{model}")


def show_slice(told: Slice) -> None:
    """Print the lines of a slice."""
    for line in told.text.splitlines():
        say(plain(line))


def show_prompts(prompts: Sequence[Prompt]) -> None:
    """Print exactly what a model would be sent."""
    for one in prompts:
        say(one.text)


def plain(line: str) -> str:
    """A line for people: quotes instead of the fences that tell a model what is data."""
    return line.replace("<data>", '"').replace("</data>", '"').replace("&lt;", "<").replace("&gt;", ">")
