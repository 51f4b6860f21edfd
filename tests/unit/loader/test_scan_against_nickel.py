"""A4: whatever Nickel takes for an import the scanner sees, whatever texts, tags and interpolations stand around it."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from batchwright.loader import LOCAL, nickel_scanner
from batchwright.loader.evaluator_client import EvaluationLimitExceeded, Evaluator, NickelError

IMPORTS = (
    """import "/nowhere/canary.txt" as 'Text""",
    'import "/nowhere/c"',
    'import"/nowhere/c"',
    'import # "\n"/nowhere/c"',
)
ATOMS = (
    *(
        '"a"',
        '""',
        '"%"',
        '"\\""',
        '"\\%{"',
        '"import"',
        '"\\x41"',
        '"%%{"a"}"',
        "'a",
        '\'"a"',
        '\'"%{"b"}"',
        "'import",
    ),
    *(
        "1",
        "0xFF",
        "0b1",
        ".5",
        "1e5",
        "x",
        "_x",
        "x-s",
        "m",
        "_m",
        "m'",
        "x'-s",
        "a_-s",
        "{}",
        "[]",
        "null",
        "'m",
        "'x-s",
    ),
    *('m%""%', 'm%%""%%', 'm%""""%', 'x-s%"a"%', 'x-s%""%{1}"%', 'm%""%{"a"}"%', 'm%"%%{"a"}"%', 'm%%"%{"a"}"%%'),
    *('m%" "%%{"a"}"%', 'm%%"%%%{"a"}"%%', 'm%"import "x""%'),
)
GLUE = (
    *(
        " ",
        "",
        "%",
        '"',
        "#",
        "\n",
        '# "\n',
        '# m%"\n',
        '#"',
        "%%",
        "%{",
        "}",
        "{",
        "(",
        ")",
        "[",
        "]",
        "++",
        " in ",
        ",",
    ),
    *(
        " ++ ",
        "let x = 1 in ",
        "fun m => ",
        " = ",
        "'",
        "m",
        "-s",
        'm%"',
        '"%',
        'x%"',
        '-s%"',
        "_",
        "1",
        "0x",
        ".",
        "|",
        "\\",
    ),
    *("\r\n", "\r", "é", "%string/trim%", "%typeof%", "import", "e5", "0b", "//", ";", "\t", "\u00a0", "\x00"),
)
AROUND = (
    *(
        '"@"',
        '"%{@}"',
        'm%"%{@}"%',
        'm%""%{@}"%',
        'm%%"%%{@}"%%',
        'm%"@"%',
        "(@)",
        "[@]",
        "[@, @]",
        "{a = @}",
        '{"%{@}" = 1}',
    ),
    *(
        '\'"%{@}"',
        "let x = @ in x",
        "fun x => @",
        'x-s%"%{@}"%',
        "@ # c\n",
        "# @\n 1",
        '{ a | doc "@" = 1}',
        "@ ++ @",
        "@@",
    ),
)


def source(dice: random.Random) -> str:
    """A Nickel text, mostly right, with imports here and there; sometimes a few characters are changed."""
    text = list(_expression(dice, dice.randint(1, 5)))
    for _ in range(dice.choice((0, 0, 1, 2))):
        at = dice.randrange(len(text) + 1)
        if text and dice.random() < 0.4:
            del text[min(at, len(text) - 1)]
        else:
            text.insert(at, dice.choice(GLUE))
    return "".join(text)


def _expression(dice: random.Random, depth: int) -> str:
    chance = dice.random()
    if depth <= 0 or chance < 0.25:
        return dice.choice(IMPORTS if dice.random() < 0.3 else ATOMS)
    if chance < 0.85:
        first, *others = dice.choice(AROUND).split("@")
        return first + "".join(_expression(dice, depth - 1) + other for other in others)
    parts = range(dice.randint(1, 5))
    return "".join(dice.choice(GLUE) if dice.random() < 0.5 else _expression(dice, depth - 2) for _ in parts)


class Judge:
    """Evaluates one text after the other; a child that died is replaced."""

    def __init__(self) -> None:
        self._child: Evaluator | None = None

    def close(self) -> None:
        if self._child is not None:
            self._child.__exit__(None, None, None)
            self._child = None

    def told(self, text: str) -> str:
        """Nickel's error, empty when there is none."""
        self._child = self._child or Evaluator(LOCAL, []).__enter__()
        try:
            self._child.run(text)
        except NickelError as error:
            return str(error)
        except EvaluationLimitExceeded:
            self.close()
            return "died"
        return ""


@pytest.fixture
def judge() -> Iterator[Judge]:
    one = Judge()
    yield one
    one.close()


def compare(judge: Judge, dice: random.Random, number: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    for _ in range(number):
        text = f"let m = 1, x = 1 in ({source(dice)}\n)"
        told = judge.told(text)
        tried = "could not find import" in told or "tried to import" in told
        imports, possible = nickel_scanner.imports(text), nickel_scanner.possible_imports(text)
        assert not tried or (imports and possible), f"the scanner misses an import in {text!r}"
        assert told or not (imports or possible), f"the scanner sees an import that is none in {text!r}"
        seen["tried" if tried else "told" if told else "well"] += 1
    return seen


def test_the_scanner_sees_what_nickel_imports(judge: Judge) -> None:
    """A4: a sample, always the same."""
    seen = compare(judge, random.Random(4), 400)
    assert min(seen["tried"], seen["told"], seen["well"]) > 20


@pytest.mark.long
def test_the_scanner_sees_what_nickel_imports_at_length(judge: Judge) -> None:
    """A4: other texts each time; BATCHWRIGHT_SEED repeats a run."""
    seed = int(os.environ.get("BATCHWRIGHT_SEED") or random.SystemRandom().randrange(2**32))
    print(f"BATCHWRIGHT_SEED={seed}")
    assert compare(judge, random.Random(seed), 10_000).total() == 10_000


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("import", True),
        ('x%"" in import "a"', True),
        ('m%""%{"a"}"% ++ import "a"', True),
        ('"never closed, import "', False),
        ('"never closed, import ', True),
        ('( " ] import "', False),
        ('( ] " import "', True),
        ('é " import "', True),
        ('\r" import "', True),
        ('m%"a"%% " import "', True),
        ('\'m%"import"%', True),
        ('"import" # import\n', False),
        ('m%" import "% ++ { important = \'import }', False),
        ("[1, 2", False),
    ],
)
def test_what_is_not_certain_counts_as_an_import(text: str, refused: bool) -> None:
    """A4: behind what Nickel would not read the word is refused even in a text."""
    assert bool(nickel_scanner.possible_imports(text)) is refused
