r"""Parses JSON strictly: refuses everything on which JSON parsers disagree.

In     one JSON text.
Out    its value: every string, number and key as it was written.
Never  changes what it reads: it does not choose between duplicate keys, turn an integer that does
       not fit in 64 bits into a float, or replace an invalid character.
Raises RecordError with the column, counted in characters from 1: ``invalid_json``,
       ``invalid_utf8``, ``lone_surrogate``, ``byte_order_mark``, ``duplicate_key``,
       ``number_out_of_range``, ``too_deep``.

``orjson`` does the parsing. It silently accepts three of these: duplicate keys, large integers and
deep nesting. ``is_sound`` rules them out by counting, which is fast and can be done for many values
at once. If the count leaves a doubt, ``check_sound`` scans the text token by token.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NoReturn

import numpy as np
import orjson

from sftprep.encoding_guess import guess_line_encoding
from sftprep.errors import RecordError
from sftprep.text import shown

MAX_DEPTH = 64
"""How deep objects and lists may be nested, counting the outermost."""
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1  # the range that orjson reads as integers
JSON_SPACE = b" \t\r\n"  # bytes.strip() would also remove \f and \v, which JSON does not allow
WINDOW_BYTES = 1 << 17
"""How many bytes are searched for quotes at once: few enough for the processor's cache."""

SMALL = 1 << 13
"""In fewer bytes, ``bytes.count`` finds quotes faster than numpy does."""
QUOTE, BACKSLASH = b'"\\'
LONG_DIGITS = re.compile(rb"\d{19}")
TOKEN = re.compile(r'("(?:[^"\\]++|\\.)*+")(\s*:)?|[\[\]{}]|-?\d[-+.eE\d]*+', re.DOTALL)
STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
NOT_A_NUMBER = re.compile(r"[-+]?(nan|inf(inity)?)\b", re.IGNORECASE)


def parse_json(data: bytes) -> Any:
    """Parse one JSON text.

    >>> parse_json(b'{"prompt": "a"}')
    {'prompt': 'a'}
    """
    value = load(data)
    check_sound(value, data)
    return value


def parse_json_text(text: str, where: str) -> Any:
    """Parse JSON that a record holds as text, and name the field in errors.

    Args:
        text: the JSON text; any JSON value is accepted.
        where: the field that holds the text, such as ``tools``, for error messages.

    Raises:
        RecordError: ``wrong_type`` if the text is not JSON at all; otherwise the reason that
            ``parse_json`` gives, with the field named. It has no column: positions in the text are
            not positions in the record.
    """
    try:
        return parse_json(text.encode())
    except RecordError as error:
        if error.reason == "invalid_json":
            problem = f"{where} is {shown(text)}; expected JSON text"
            raise RecordError("wrong_type", problem) from error
        problem = f"{where} holds JSON text: {error.problem}"
        raise RecordError(error.reason, problem, error.cure) from error


def load(data: bytes) -> Any:
    """Parse one JSON text without the checks of ``check_sound``.

    Raises:
        RecordError: the text is not valid UTF-8 or not JSON, or has a number too large for a float.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _load_error(data, error) from error


def is_sound(values: Sequence[Any], data: bytes) -> bool:
    """Return True if the values certainly have no duplicate keys, large integers or deep nesting.

    ``orjson`` keeps only one of two equal keys, so the text then has more quotes than the strings
    and keys of the value account for. It turns an integer over 64 bits into a float. The result
    may also be False for values that have none of the three.

    Args:
        values: what ``orjson`` parsed.
        data: the JSON texts of all values, one after the other.
    """
    strings = 0  # keys included
    has_floats = False
    if len(values) == 1 and len(data) < SMALL:
        strings, has_floats, depth = _counted(values[0])
        is_deep = depth > MAX_DEPTH
        return not is_deep and _accounts_for(strings, data, has_floats=has_floats)
    level: Sequence[Any] = values  # all values at one depth
    for _ in range(MAX_DEPTH + 1):
        kinds = Counter(map(type, level))
        strings += kinds[str]
        has_floats |= float in kinds
        if not (kinds[dict] or kinds[list]):
            break
        objects, lists = _of_type(dict, level, kinds), _of_type(list, level, kinds)
        strings += sum(map(len, objects))
        level = [*chain.from_iterable(map(dict.values, objects)), *chain.from_iterable(lists)]
    else:
        return False  # too deep
    return _accounts_for(strings, data, has_floats=has_floats)


def _accounts_for(strings: int, data: bytes, *, has_floats: bool) -> bool:
    """Tell whether a text has just so many strings, and no number that may have become a float."""
    if has_floats and LONG_DIGITS.search(data):
        return False
    return count_quotes(data) == 2 * strings


def _counted(value: Any) -> tuple[int, bool, int]:
    """Return how many strings a value has, keys included; whether it has floats; how deep it is.

    For a small value, this takes less time than what is done for many values at once.
    """
    strings, has_floats, depth = 0, False, 0
    level: list[Any] = [value]
    while level and depth <= MAX_DEPTH:
        inner: list[Any] = []
        has_inner = False
        for entry in level:
            kind = type(entry)
            if kind is str:
                strings += 1
            elif kind is dict:
                strings += len(entry)
                inner += entry.values()
                has_inner = True
            elif kind is list:
                inner += entry
                has_inner = True
            elif kind is float:
                has_floats = True
        depth += has_inner
        level = inner
    return strings, has_floats, depth


def _of_type(kind: type, values: Sequence[Any], kinds: Mapping[type, int]) -> Sequence[Any]:
    """Return the values of a type, of which it is known how many have each type."""
    if kinds[kind] in (0, len(values)):  # as usual
        return values if kinds[kind] else ()
    return [value for value in values if type(value) is kind]


def check_sound(value: Any, data: bytes) -> None:
    """Refuse duplicate keys, integers over 64 bits and nesting over ``MAX_DEPTH`` in valid JSON.

    Args:
        value: what ``orjson`` parsed.
        data: the JSON text.
    """
    if is_sound([value], data):
        return
    text = data.decode()
    open_keys: list[set[str]] = []  # for each open object; an empty set for a list
    for token in TOKEN.finditer(text):
        found, start = token[0], token.start()
        if token[2]:
            key = orjson.loads(token[1])
            if key in open_keys[-1]:
                problem = f"the key {shown(key)} occurs twice in one object"
                _refuse("duplicate_key", problem, text, start, "Keep one of the two")
            open_keys[-1].add(key)
        elif found in "[{":
            open_keys.append(set())
            if len(open_keys) > MAX_DEPTH:
                _refuse_depth(text, start)
        elif found in "]}":
            open_keys.pop()
        elif found[0] != '"' and not set(".eE") & set(found) and not _fits_64_bits(found):
            problem = f"the integer {found[:40]} does not fit 64 bits"
            _refuse("number_out_of_range", problem, text, start, "Write it as a string")


def count_quotes(data: bytes, window: int = WINDOW_BYTES) -> int:
    r"""Return how many quotes in JSON begin or end a string: those without a backslash escape.

    Args:
        data: JSON texts.
        window: how many bytes are searched at once; does not change the result.

    >>> count_quotes(rb'["a", "\""]')
    4
    """
    if len(data) < SMALL and b"\\\\" not in data:
        return data.count(b'"') - data.count(b'\\"')
    codes = np.frombuffer(data, np.uint8)
    quotes = 0
    for start in range(0, len(codes), window):
        overlap = min(start, 2)  # an escape may begin in the previous window
        part = codes[start - overlap : start + window]
        is_quote, is_slash = part == QUOTE, part == BACKSLASH
        is_quote[:overlap] = False  # these are counted already
        escaped = is_quote[1:] & is_slash[:-1]
        quotes += int(np.count_nonzero(is_quote) - np.count_nonzero(escaped))
        if (escaped[1:] & is_slash[:-2]).any():  # the backslash itself may be escaped
            places = np.flatnonzero(escaped) + 1 + start - overlap
            quotes += sum(_slashes_before(data, place) % 2 == 0 for place in places.tolist())
    return quotes


def _slashes_before(data: bytes, place: int) -> int:
    """Return how many backslashes directly precede a position."""
    start = place
    while start and data[start - 1] == BACKSLASH:
        start -= 1
    return place - start


def _fits_64_bits(digits: str) -> bool:
    return len(digits) <= 20 and MIN_INTEGER <= int(digits) <= MAX_INTEGER


def _load_error(data: bytes, error: orjson.JSONDecodeError) -> RecordError:
    """Return the error for bytes that ``orjson`` refuses."""
    try:
        text = data.decode()
    except UnicodeDecodeError as decode_error:
        return _not_utf8(data, decode_error)
    if "depth" in error.msg:  # orjson has a higher limit of its own
        _check_depth(data)
    reason, problem, cure = _explain(data, text, error)
    row, column = _position(text, error.pos)
    return RecordError(reason, problem, cure, column, row)


def _explain(data: bytes, text: str, error: orjson.JSONDecodeError) -> tuple[str, str, str]:
    """Return reason, problem and cure for text that is not JSON."""
    at, cure = error.pos, "Fix the record"
    found = text[at : at + 1]
    if found == "\ufeff":
        problem = "a byte order mark (U+FEFF) that is not at the start of the file"
        return "byte_order_mark", problem, "Remove it; it may come from files that were joined"
    if "surrogate" in error.msg:
        problem = "half of a surrogate pair (\\ud800 to \\udfff) is not a character"
        return "lone_surrogate", problem, cure
    if "infinity" in error.msg:
        problem = "the number does not fit a 64-bit float"
        return "number_out_of_range", problem, "Write it as a string"
    if found == "\0" and (name := guess_line_encoding(data)):
        return "invalid_utf8", f"the line looks like {name}", "Convert the file to UTF-8"
    problem = f"not valid JSON: {error.msg}"
    number = NOT_A_NUMBER.match(text, at - 1 if text[at - 1 : at] == "-" else at)
    if found and found < " ":
        problem = f"not valid JSON: a raw control character (U+{ord(found):04X})"
        cure = f"Write it as \\u{ord(found):04x}"
    elif number:
        problem = f"not valid JSON: {number[0]} is not a JSON number"
        cure = "Write null, or leave the field out"
    elif "after document" in error.msg:
        problem = "not valid JSON: text follows the object"
        cure = "Write one object per line"
    return "invalid_json", problem, cure


def _not_utf8(data: bytes, error: UnicodeDecodeError) -> RecordError:
    before = data[: error.start].decode()
    row, column = _position(before, len(before))
    guess = f" (it looks like {name})" if (name := guess_line_encoding(data)) else ""
    return RecordError(
        "invalid_utf8",
        f"not valid UTF-8 at byte {error.start + 1}: {error.reason}",
        f"Convert the file to UTF-8{guess}",
        column,
        row,
    )


def _check_depth(data: bytes) -> None:
    """Refuse text that is nested too deep, whether or not the rest of it is JSON."""
    depth = 0
    for token in STRING_OR_BRACKET.finditer(data):
        kind = token[0][0]
        depth += (kind in b"[{") - (kind in b"]}")
        if depth > MAX_DEPTH:
            before = data[: token.start()].decode(errors="replace")
            _refuse_depth(before, len(before))


def _refuse_depth(text: str, at: int) -> NoReturn:
    problem = f"objects and lists are nested more than {MAX_DEPTH} deep"
    _refuse("too_deep", problem, text, at, "Fix the record")


def _refuse(reason: str, problem: str, text: str, at: int, cure: str) -> NoReturn:
    row, column = _position(text, at)
    raise RecordError(reason, problem, cure, column, row)


def _position(text: str, at: int) -> tuple[int, int]:
    """Return the row, counted from 0, and the column, from 1, of a character."""
    return text.count("\n", 0, at), at - text.rfind("\n", 0, at)
