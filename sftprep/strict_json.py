r"""Lines of bytes -> JSON objects, and nothing that JSON readers do not agree on.

In     the bytes of records, without their line ends.
Out    a dict each: every text, number and key as it was written.
Never  changes what it reads: of two equal keys none is chosen, an integer that does not fit 64 bits
       does not become a float, and nothing stands in for a character that is none.
Raises RecordError with the column, counted in characters from 1: ``invalid_json``,
       ``invalid_utf8``, ``lone_surrogate``, ``byte_order_mark``, ``duplicate_key``,
       ``number_out_of_range``, ``too_deep``; ``not_an_object`` without one.

Records are seen to be sound by counting, all those of a block at once; where they cannot be, each
is counted alone, and one that is in doubt is looked through token by token.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any, NoReturn, cast

import numpy as np
import orjson

from sftprep import encoding_guess as encodings
from sftprep.data.conversation import Record
from sftprep.errors import RecordError
from sftprep.text import shown

Parsed = list[Record | RecordError | None]
"""What became of lines: a record, or its error, or None where there was none."""
MAX_DEPTH = 64
"""Objects and lists within each other, the record itself included."""
LEAST, MOST = -(2**63), 2**64 - 1  # what orjson reads as an integer
JSON_SPACE = b" \t\r\n"  # Python knows more white space

QUOTE, BACKSLASH = b'"\\'
CACHED = 1 << 17  # bytes looked at together: what is made of them stays in the processor's cache
LONG_DIGITS = re.compile(rb"\d{19}")
TOKEN = re.compile(r'("(?:[^"\\]++|\\.)*+")(\s*:)?|[\[\]{}]|-?\d[-+.eE\d]*+', re.DOTALL)
BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
NOT_A_NUMBER = re.compile(r"[-+]?(nan|inf(inity)?)\b", re.IGNORECASE)


def parse_lines(lines: Sequence[bytes]) -> Parsed:
    """Parse records; in the place of a bad one is its error, and None in that of a blank line.

    >>> parse_lines([b'{"prompt": "a"}', b"", b" "])
    [{'prompt': 'a'}, None, None]
    """
    full = list(filter(None, lines))
    try:
        values = list(map(orjson.loads, full))
    except orjson.JSONDecodeError:
        return list(map(_parsed, lines))
    if set(map(type, values)) - {dict} or not _is_sound(values, b"\n".join(full)):
        return list(map(_parsed, lines))
    if len(full) == len(lines):
        return cast(Parsed, values)
    rest = iter(values)
    return [next(rest) if line else None for line in lines]


def _parsed(line: bytes) -> Record | RecordError | None:
    if not line.strip(JSON_SPACE):
        return None
    try:
        return parse_line(line)
    except RecordError as error:
        return error


def parse_line(line: bytes) -> Record:
    """Parse one record.

    >>> parse_line(b'{"prompt": "a"}')
    {'prompt': 'a'}
    """
    value = _loaded(line)
    if type(value) is not dict:
        raise RecordError("not_an_object", f"the record is {_kind(value)}; expected a JSON object")
    if not _is_sound([value], line):
        _look_through(line)
    return value


def parse_value(text: str) -> Any:
    """Parse JSON that a record holds as text, by the same rules; any value will do."""
    line = text.encode()
    value = _loaded(line)
    if not _is_sound([value], line):
        _look_through(line)
    return value


def parse_json_text(text: str, where: str) -> Any:
    """Parse JSON that a record holds as text, and name the field in errors.

    Args:
        text: the JSON text; any JSON value is accepted.
        where: the field that holds the text, such as ``tools``, for error messages.

    Raises:
        RecordError: ``wrong_type`` if the text is not JSON at all; otherwise the reason that
            ``parse_line`` would give, with the field named. It has no column: positions in the
            text are not positions in the record.
    """
    try:
        return parse_value(text)
    except RecordError as error:
        if error.reason == "invalid_json":
            problem = f"{where} is {shown(text)}; expected JSON text"
            raise RecordError("wrong_type", problem) from error
        problem = f"{where} holds JSON text: {error.problem}"
        raise RecordError(error.reason, problem, error.cure) from error


def _loaded(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _not_json(line, error) from error


def _is_sound(values: Sequence[Any], data: bytes) -> bool:
    """Whether there is surely nothing in these values that others would read otherwise.

    Of two equal keys ``orjson`` keeps one, so that there are more quotes in the data than its
    values account for; an integer over 64 bits becomes a float.

    Args:
        values: what ``orjson`` made of the data.
        data: the JSON texts of all values, one behind the other.
    """
    texts = 0  # keys and strings
    has_floats = False
    entries: Sequence[Any] = values
    for _ in range(MAX_DEPTH + 1):
        kinds = Counter(map(type, entries))
        texts += kinds[str]
        has_floats |= float in kinds
        if not (kinds[dict] or kinds[list]):
            break
        objects = [entry for entry in entries if type(entry) is dict]
        lists = [entry for entry in entries if type(entry) is list]
        texts += sum(map(len, objects))
        entries = [*chain.from_iterable(map(dict.values, objects)), *chain.from_iterable(lists)]
    else:
        return False  # too deep
    if has_floats and LONG_DIGITS.search(data):
        return False
    return _quotes(data) == 2 * texts


def _quotes(data: bytes) -> int:
    """How many quotes in JSON begin or end a string: those that no backslash escapes."""
    codes = np.frombuffer(data, np.uint8)
    quotes = 0
    for start in range(0, len(codes), CACHED):
        before = min(start, 2)
        part = codes[start - before : start + CACHED]
        is_quote, is_slash = part == QUOTE, part == BACKSLASH
        is_quote[:before] = False  # counted already
        escaped = is_quote[1:] & is_slash[:-1]
        quotes += int(np.count_nonzero(is_quote) - np.count_nonzero(escaped))
        if (escaped[1:] & is_slash[:-2]).any():  # a backslash may be escaped itself
            places = np.flatnonzero(escaped) + 1 + start - before
            quotes += sum(_slashes(data, place) % 2 == 0 for place in places.tolist())
    return quotes


def _slashes(data: bytes, place: int) -> int:
    """How many backslashes stand before a place."""
    start = place
    while start and data[start - 1] == BACKSLASH:
        start -= 1
    return place - start


def _look_through(line: bytes) -> None:
    """Find two equal keys, an integer over 64 bits, or a value too deep, in what is valid JSON."""
    text = line.decode()
    open_keys: list[set[str]] = []
    for token in TOKEN.finditer(text):
        found, start = token[0], token.start()
        if token[2]:
            key = orjson.loads(token[1])
            if key in open_keys[-1]:
                problem = f"the key {shown(key)} is there twice in one object"
                _refuse("duplicate_key", problem, text, start, "Keep one of the two")
            open_keys[-1].add(key)
        elif found in "[{":
            open_keys.append(set())
            if len(open_keys) > MAX_DEPTH:
                _too_deep(text, start)
        elif found in "]}":
            open_keys.pop()
        elif found[0] != '"' and not set(".eE") & set(found) and not _fits(found):
            _out_of_range(text, start, found)


def _fits(digits: str) -> bool:
    return len(digits) <= 20 and LEAST <= int(digits) <= MOST


def _check_depth(line: bytes) -> None:
    """Refuse what is too deep, be it JSON or not."""
    depth = 0
    for token in BRACKET.finditer(line):
        kind = token[0][0]
        depth += (kind in b"[{") - (kind in b"]}")
        if depth > MAX_DEPTH:
            start = line[: token.start()].decode(errors="replace")
            _too_deep(start, len(start))


def _not_json(line: bytes, error: orjson.JSONDecodeError) -> RecordError:
    """What is wrong with a line that is no JSON."""
    try:
        text = line.decode()
    except UnicodeDecodeError as broken:
        return _not_utf8(line, broken)
    if "depth" in error.msg:  # orjson has a limit of its own, so that nothing breaks
        _check_depth(line)
    reason, problem, cure = _fault(line, text, error)
    row, column = _position(text, error.pos)
    return RecordError(reason, problem, cure, column, row)


def _fault(line: bytes, text: str, error: orjson.JSONDecodeError) -> tuple[str, str, str]:
    """Reason, problem and cure for text that is no JSON."""
    at, fix = error.pos, "Fix the record"
    found = text[at : at + 1]
    if found == "\ufeff":
        problem = "a byte order mark (U+FEFF) that is not at the start of the file"
        return "byte_order_mark", problem, "Remove it; joined files may each have had one"
    if "surrogate" in error.msg:
        problem = "half of a surrogate pair (\\ud800 to \\udfff) is no character"
        return "lone_surrogate", problem, fix
    if "infinity" in error.msg:
        return "number_out_of_range", "the number does not fit a 64-bit float", "Write it as text"
    problem = f"not valid JSON: {error.msg}"
    number = NOT_A_NUMBER.match(text, at - 1 if text[at - 1 : at] == "-" else at)
    if found == "\0" and (name := encodings.of_line(line)):
        return "invalid_utf8", f"the line looks like {name}", "Convert the file to UTF-8"
    if found and found < " ":
        problem = f"not valid JSON: a raw control character (U+{ord(found):04X})"
        fix = f"Write it as \\u{ord(found):04x}"
    elif number:
        problem = f"not valid JSON: {number[0]} is no number in JSON"
        fix = "Write null, or leave the field out"
    elif "after document" in error.msg:
        problem = "not valid JSON: something follows the object"
        fix = "Write one object a line"
    return "invalid_json", problem, fix


def _not_utf8(line: bytes, broken: UnicodeDecodeError) -> RecordError:
    before = line[: broken.start].decode()
    row, column = _position(before, len(before))
    looks = f"; it looks like {name}" if (name := encodings.of_line(line)) else ""
    return RecordError(
        "invalid_utf8",
        f"not valid UTF-8 at byte {broken.start + 1}: {broken.reason}",
        f"Convert the file to UTF-8{looks}",
        column,
        row,
    )


def _position(text: str, at: int) -> tuple[int, int]:
    """The row, from 0, and the column, from 1, of a character."""
    return text.count("\n", 0, at), at - text.rfind("\n", 0, at)


def _refuse(reason: str, problem: str, text: str, at: int, cure: str) -> NoReturn:
    row, column = _position(text, at)
    raise RecordError(reason, problem, cure, column, row)


def _too_deep(text: str, at: int) -> NoReturn:
    problem = f"objects and lists are more than {MAX_DEPTH} deep in each other"
    _refuse("too_deep", problem, text, at, "Fix the record")


def _out_of_range(text: str, at: int, found: str) -> NoReturn:
    problem = f"the integer {found[:40]} does not fit 64 bits"
    _refuse("number_out_of_range", problem, text, at, "Write it as text")


def _kind(value: object) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else shown(value)
