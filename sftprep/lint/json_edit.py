"""Replace strings in a JSON text, and change nothing else of it.

In     a line of JSON that was parsed before, and new values of strings by their paths.
Out    the line with these strings in place of the old ones: every other byte as it was. A string
       that was written with escapes for all that is not ASCII is written so again.
"""

import json
import re
from collections.abc import Iterator, Mapping

Path = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)


def strings_of(text: str) -> Iterator[tuple[Path, int, int]]:
    """Yield the path of each string that is a value, with where its token starts and ends.

    >>> [(path, '{"a": ["b"]}'[start:end]) for path, start, end in strings_of('{"a": ["b"]}')]
    [(('a', 0), '"b"')]
    """
    path: list[str | int] = []
    key: str | None = None  # of the next value, in an object
    in_object: list[bool] = []
    for match in TOKEN.finditer(text):
        token = match[0]
        if token in "[{":
            if key is not None:
                path[-1], key = key, None
            in_object.append(token == "{")
            path.append("" if token == "{" else 0)
        elif token in "]}":
            in_object.pop()
            path.pop()
            key = None
        elif token == ",":
            key = None
            if not in_object[-1]:
                path[-1] = int(path[-1]) + 1
        elif token[0] == '"' and in_object and in_object[-1] and key is None:
            key = json.loads(token)
        elif token[0] == '"':
            last = () if not in_object or not in_object[-1] or key is None else (key,)
            yield (*path[:-1], *last) if last else tuple(path), match.start(), match.end()


def with_strings(line: bytes, values: Mapping[Path, str]) -> bytes:
    """Return a line with other strings at these paths."""
    text = line.decode()
    parts, end_of_last = [], 0
    for path, start, end in strings_of(text):
        if path in values:
            old = text[start:end]
            is_escaped = old.isascii() and not json.loads(old).isascii()
            parts += [text[end_of_last:start], json.dumps(values[path], ensure_ascii=is_escaped)]
            end_of_last = end
    return "".join([*parts, text[end_of_last:]]).encode()
