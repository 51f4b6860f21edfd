"""Asks the language model that the user has set up to word a report. It reads a slice, has no tools, decides nothing.

Whatever goes wrong, the computed answer stands: the report then says why there are no words of a model.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.agents.roles.base import AgentReport, AgentRole, ModelWords
from batchwright.agents.roles.grounding_check import grounded
from batchwright.agents.roles.prompt import Prompt, prompt_of
from batchwright.app.agent_ledger import AgentLedger, AgentUsage, day_of
from batchwright.app.settings import AgentsConfig, Settings
from batchwright.errors import BatchwrightError, UsageError
from batchwright.redaction import Redactor, masked, secrets_in_environment
from batchwright.secret_resolver import reveal

ANSWER_BYTES = 1024 * 1024
INSTRUCTIONS = 300  # tokens of a prompt beside the slice
WORDS_MOST = 8_000  # characters of an answer
TOKENS_MOST = 10_000_000  # that one call can have used
ANTHROPIC_VERSION = "2023-06-01"

Count = Callable[[str], int]


class _Message(Struct, frozen=True):
    content: str = ""


class _Choice(Struct, frozen=True):
    message: _Message


class _OpenAiUsage(Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _OpenAi(Struct, frozen=True):
    choices: tuple[_Choice, ...]
    usage: _OpenAiUsage | None = None


class _Block(Struct, frozen=True):
    type: str
    text: str = ""


class _AnthropicUsage(Struct, frozen=True):
    input_tokens: int = 0
    output_tokens: int = 0


class _Anthropic(Struct, frozen=True):
    content: tuple[_Block, ...]
    usage: _AnthropicUsage | None = None


class _Refused(Exception):
    """There is no answer, and why."""


class _Answer(Struct, frozen=True):
    text: str
    tokens_in: int
    tokens_out: int


def token_counter() -> Count:
    """Counts tokens as OpenAI's tokenizer o200k does, without the network. Raises UsageError if it is not installed."""
    try:
        from bpe_openai import get_encoding
    except ImportError:
        hint = "Install it with: pip install 'batchwright[agents]'"
        raise UsageError("a language model needs a package that is not installed", hint=hint) from None
    encoding = get_encoding("o200k_base")
    # whatever a text holds is text: `encode` refuses what looks like a special token
    return lambda text: sum(len(encoding.encode_ordinary(line)) for line in text.splitlines(keepends=True))


class LanguageModel:
    """The model of the settings; `now` gives seconds since the epoch.

    Raises UsageError if there is none, and SecretMissing if its key is not there.
    """

    def __init__(self, settings: Settings, now: Callable[[], float], environ: Mapping[str, str] = os.environ) -> None:
        self._config = settings.agents
        if not self._config.url:
            hint = "Set url and model under [agents] in config.toml (docs/agents.md); without one, leave --model out."
            raise UsageError("no language model is set up", hint=hint)
        self._count = token_counter()
        self._now = now
        self._ledger = AgentLedger(settings.state_dir)
        self._key = reveal(self._config.key, environ) if self._config.key else ""
        self._redact = Redactor({*secrets_in_environment(environ), *filter(None, [self._key])})

    async def worded(self, role: AgentRole, report: AgentReport) -> AgentReport:
        """The report with the model's words; or with a note that says why there are none."""
        prompt = prompt_of(role, report)
        prompt = Prompt(self._redact(prompt.system), self._redact(prompt.user))
        size = self._count(prompt.text)
        if size > report.budget + INSTRUCTIONS:
            return replace(report, note=f"not sent: {size} tokens, and at most {report.budget + INSTRUCTIONS} may be")
        used = AgentUsage(day_of(self._now()), report.role, report.subject, calls=1, sent=size)
        most = replace(used, received=self._config.answer_tokens)
        try:
            if not self._ledger.reserve(most, self._config.daily_calls, self._config.daily_tokens):
                return replace(report, note="not sent: the calls or tokens of today are used up")
            answer = await self._asked(prompt, size)
            self._ledger.add(
                replace(used, calls=0, sent=answer.tokens_in - size, received=answer.tokens_out - most.received)
            )
        except (_Refused, BatchwrightError) as refused:
            return replace(report, note=f"no answer of the model: {self._redact(masked(str(refused)))}")
        claims = grounded(answer.text, prompt.user)
        words = ModelWords(
            model=self._config.model,
            text=answer.text,
            findings=claims,
            unverified=sum(len(one.unverified) for one in claims),
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
        )
        return replace(report, words=words)

    async def _asked(self, prompt: Prompt, size: int) -> _Answer:
        path, headers, body = _request(self._config, prompt, self._key)
        timeout = aiohttp.ClientTimeout(total=self._config.seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(path, headers=headers, data=body, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise _Refused(f"status {response.status}")
                content = bytearray()
                async for chunk in response.content.iter_chunked(65_536):
                    content += chunk
                    if len(content) > ANSWER_BYTES:
                        raise _Refused(f"its answer is larger than {ANSWER_BYTES:,} bytes")
                return self._read(bytes(content), size)
        except TimeoutError:
            raise _Refused(f"it took more than {self._config.seconds:g} s") from None
        except aiohttp.ClientError as error:
            raise _Refused(f"{type(error).__name__}: {error}") from None

    def _read(self, content: bytes, size: int) -> _Answer:
        try:
            if self._config.api == "anthropic":
                told = msgspec.json.decode(content, type=_Anthropic)
                text = "".join(block.text for block in told.content if block.type == "text")
                counted = (told.usage.input_tokens, told.usage.output_tokens) if told.usage else (0, 0)
            else:
                said = msgspec.json.decode(content, type=_OpenAi)
                text = said.choices[0].message.content if said.choices else ""
                counted = (said.usage.prompt_tokens, said.usage.completion_tokens) if said.usage else (0, 0)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _Refused(f"its answer cannot be read: {error}") from None
        if not text.strip():
            raise _Refused("its answer is empty")
        text = text[:WORDS_MOST]
        return _Answer(text, _believed(counted[0], size), _believed(counted[1], self._count(text)))


def _believed(told: int, counted: int) -> int:
    """What the ledger counts: as many tokens as the model says, unless nobody could have used so few or so many."""
    return told if counted < told <= TOKENS_MOST else counted


def _request(config: AgentsConfig, prompt: Prompt, key: str) -> tuple[str, dict[str, str], bytes]:
    """The address, the headers and the body of the call."""
    headers = {"Content-Type": "application/json"}
    base = config.url.rstrip("/")
    user = {"role": "user", "content": prompt.user}
    body: dict[str, Any] = {"model": config.model, "max_tokens": config.answer_tokens}
    if config.api == "anthropic":
        headers |= {"anthropic-version": ANTHROPIC_VERSION, **({"x-api-key": key} if key else {})}
        return (
            f"{base}/v1/messages",
            headers,
            msgspec.json.encode({**body, "system": prompt.system, "messages": [user]}),
        )
    headers |= {"Authorization": f"Bearer {key}"} if key else {}
    messages = [{"role": "system", "content": prompt.system}, user]
    return f"{base}/chat/completions", headers, msgspec.json.encode({**body, "messages": messages})


async def worded(
    model: LanguageModel, roles: Mapping[str, AgentRole], reports: tuple[AgentReport, ...]
) -> tuple[AgentReport, ...]:
    """The reports with the model's words, all asked at once."""
    return tuple(await asyncio.gather(*(model.worded(roles[one.role], one) for one in reports)))
