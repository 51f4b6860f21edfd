"""A value in a file is that value again and nothing else, whatever it holds (E13)."""

from __future__ import annotations

import shlex
import subprocess
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.examples import share

from batchwright.taskservs import config_escapes

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def redis_words(line: str) -> list[bytes]:
    """As redis splits a line of its configuration (sdssplitargs), for what stands in double quotes."""
    assert "\n" not in line
    assert line.startswith('"')
    assert line.endswith('"')
    inner, found, at = line[1:-1], bytearray(), 0
    while at < len(inner):
        if inner[at] != "\\":
            assert inner[at] != '"'
            found += inner[at].encode()
            at += 1
        elif inner[at + 1] == "x":
            found.append(int(inner[at + 2 : at + 4], 16))
            at += 4
        else:
            found += inner[at + 1].encode()
            at += 2
    return [bytes(found)]


def unescaped(inner: str, double: str = "") -> str:
    """What is between quotes, where a backslash takes the meaning of the next character and `double` stands twice."""
    found, at = "", 0
    while at < len(inner):
        if inner[at] == "\\":
            found += {"n": "\n", "r": "\r", "t": "\t"}.get(inner[at + 1], inner[at + 1])
            at += 2
        elif inner[at] == double:
            assert inner[at : at + 2] == double * 2
            found += double
            at += 2
        else:
            assert inner[at] not in "\"'" or double
            assert inner[at] not in "\n\r"
            found += inner[at]
            at += 1
    return found


@given(anything)
def test_redis(text: str) -> None:
    """E13: nothing ends the word or the line."""
    assert redis_words(config_escapes.redis_word(text)) == [text.encode()]


@given(texts.filter(lambda text: "$" not in text and "'" not in text))
def test_nginx(text: str) -> None:
    """E13."""
    word = config_escapes.nginx_word(text)
    assert (word[0], word[-1]) == ('"', '"')
    assert unescaped(word[1:-1]) == text


@given(texts.filter(lambda text: not {*"\n\r"} & {*text}))
def test_haproxy(text: str) -> None:
    """Between single quotes nothing has a meaning, and a backslash takes that of the quote after it: as in a shell."""
    assert shlex.split(config_escapes.haproxy_word(text)) == [text]


@given(texts)
def test_settings_of_postgresql(text: str) -> None:
    """E13."""
    value = config_escapes.postgresql_value(text)
    assert (value[0], value[-1]) == ("'", "'")
    assert unescaped(value[1:-1], "'") == text


@given(texts)
def test_statements_of_postgresql(text: str) -> None:
    """E13: with and without backslashes, which mean something only in E''."""
    literal = config_escapes.sql_literal(text)
    inner = literal.removeprefix(" E")[1:-1]
    if literal.startswith(" E"):
        inner = inner.replace("\\\\", "\\")
    else:
        assert "\\" not in literal
    assert inner.count("'") == 2 * text.count("'")
    assert inner.replace("''", "'") == text


@given(texts.filter(lambda text: 0 < len(text.encode()) <= 63))
def test_names_of_postgresql(text: str) -> None:
    """E13."""
    name = config_escapes.sql_identifier(text)
    assert name[1:-1].replace('""', "") == name[1:-1].replace('"', "")
    assert name[1:-1].replace('""', '"') == text


@settings(max_examples=share(40), deadline=None)
@given(texts.filter(lambda text: "\r" not in text))
def test_environment_files_and_shells(text: str) -> None:
    """E13: a shell reads an EnvironmentFile as systemd does."""
    for word in (config_escapes.systemd_value(text), config_escapes.shell_word(text)):
        script = f'X={word}\nprintf %s "$X"'
        done = subprocess.run(["sh", "-s"], input=script.encode(), capture_output=True, check=True)
        assert done.stdout == text.encode()
    assert shlex.split(config_escapes.shell_word(text)) == [text]


@given(anything)
def test_toml(text: str) -> None:
    """E13."""
    line = config_escapes.toml_string(text)
    assert "\n" not in line
    assert tomllib.loads(f"x = {line}") == {"x": text}


@given(anything)
def test_what_cannot_be_written_is_refused(text: str) -> None:
    """E13: a $ in nginx, a line end in pg_hba.conf, a space in a source of apt, a NUL almost everywhere."""
    for write, bad in (
        (config_escapes.nginx_word, "$\0"),
        (config_escapes.hba_word, "\n\r\0"),
        (config_escapes.haproxy_word, "\n\r\0"),
        (config_escapes.postgresql_value, "\0"),
        (config_escapes.sql_literal, "\0"),
        (config_escapes.systemd_value, "\0"),
    ):
        if any(one in text for one in bad):
            with pytest.raises(ValueError, match="hold"):
                write(text)
        else:
            assert write(text)
    try:
        assert config_escapes.source_word(text).split() == [text]
    except ValueError:
        assert not text.isascii() or not text.isalnum()


def test_a_name_that_postgresql_would_cut_off_is_refused() -> None:
    """E13: 70 characters became another name without a word."""
    with pytest.raises(ValueError, match="63 bytes"):
        config_escapes.sql_identifier("o" * 70)
