"""Nothing decides by reading a sentence: what code has to know is a code, an enum or a flag."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.tidy.test_sources import ROOT, name_of, sources, tree

SENTENCES = {
    "message",
    "reason",
    "hint",
    "note",
    "notes",
    "text",
    "summary",
    "detail",
    "doing",
    "residue",
}  # attributes
VARIABLES = {"message", "reason", "hint", "why", "said"}
ERRORS = {"error", "fault", "problem", "refusal"}  # str() of such a variable is a sentence
LOOKS = {"startswith", "endswith", "find", "index", "count", "partition", "rpartition", "removeprefix", "removesuffix"}
SEARCHES = {"match", "search", "fullmatch", "findall"}
SHAPES = {"lower", "casefold", "strip", "lstrip", "rstrip", "split"}  # the same sentence, written differently
WRITES = ("src/batchwright/views/",)  # sentences are made there
FOREIGN = {
    "src/batchwright/loader/": "the text of the user's files, and Nickel's messages, which have no codes",
    "src/batchwright/resource_exhaustion.py": "Python's message when no thread can be started; it has no code",
    "src/batchwright/providers/upcloud/payload.py": "UpCloud's message, which names the field its code leaves open",
    "src/batchwright/ssh_refusals.py": "what servers and OpenSSH say; SSH gives most refusals no code",
    "src/batchwright/taskservs/catalogue/metadata.py": "msgspec's message, which holds the place of a wrong value",
    "src/batchwright/taskservs/catalogue/lint.py": "what a compiler prints",
    "src/batchwright/taskservs/runner/progress.py": "lines of pyinfra's log",
}


def sentence_read(node: ast.AST) -> bool:
    """Whether an expression is a sentence for people: a message, a reason, a hint."""
    match node:
        case ast.Call(func=ast.Attribute(value=inner, attr=name)) if name in SHAPES:
            return sentence_read(inner)
        case ast.Subscript(value=ast.Attribute() as inner):
            return sentence_read(inner)
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]):
            return name in ERRORS
        case ast.Attribute(attr=name):
            return name in SENTENCES
        case ast.Name(id=name):
            return name in VARIABLES
    return False


def is_text(node: ast.AST) -> bool:
    """Whether it is a text that stands in the code; comparing two sentences, to say each once, reads neither."""
    match node:
        case ast.Constant(value=str(text)):
            return text != ""
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.isupper()
    return isinstance(node, ast.JoinedStr)


def decisions(path: Path) -> list[int]:
    """The lines of a file that look into a sentence; asking whether there is one at all is no such look."""
    found = []
    for node in ast.walk(tree(path)):
        match node:
            case ast.Compare(left=left, ops=ops, comparators=rights):
                sides = list(zip([left, *rights], ops, rights, strict=False))
                equal = any(
                    isinstance(op, ast.Eq | ast.NotEq)
                    and ((sentence_read(a) and is_text(b)) or (sentence_read(b) and is_text(a)))
                    for a, op, b in sides
                )
                looks = equal or any(isinstance(op, ast.In | ast.NotIn) and sentence_read(b) for _, op, b in sides)
            case ast.Call(func=ast.Attribute(value=inner, attr=name), args=arguments):
                looks = (name in LOOKS and sentence_read(inner)) or (
                    name in SEARCHES and any(sentence_read(one) for one in arguments)
                )
            case ast.Match(subject=subject):
                looks = sentence_read(subject)
            case _:
                looks = False
        if looks:
            found.append(node.lineno)
    return found


def test_nothing_decides_by_reading_a_sentence() -> None:
    plugins = [path for path in sources("plugins") if "src" in path.relative_to(ROOT).parts]
    looked = {path: name_of(path) for path in [*sources("src"), *plugins]}
    assert len(looked) > 300
    read = {path: decisions(path) for path, name in looked.items() if not name.startswith(WRITES)}
    own = {path: lines for path, lines in read.items() if not looked[path].startswith(tuple(FOREIGN))}
    assert [f"{looked[path]}:{line}" for path, lines in own.items() for line in lines] == []
    needed = {place for place in FOREIGN if any(read[path] for path in read if looked[path].startswith(place))}
    assert set(FOREIGN) == needed, "an exception that nothing needs is taken off the list"


def test_what_reads_a_sentence_is_found(tmp_path: Path) -> None:
    path = tmp_path / "reads.py"
    path.write_text(
        "if fault.message == 'gone': pass\n"
        "if 'quota' in one.reason.lower(): pass\n"
        "if link.text.startswith(step): pass\n"
        "if 'thread' in str(error): pass\n"
        "if PATTERN.search(record.reason): pass\n"
        "match fault.message:\n    case 'gone': pass\n"
        "if record.reason or record.reason != '' or fault.message != told: pass\n"
        "if fault.code == 'gone' and row['message'] == 'x': pass\n"
        "told = ' '.join(fault.message.split())\n"
    )
    assert sorted(decisions(path)) == [1, 2, 3, 4, 5, 6]
