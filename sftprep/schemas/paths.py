r"""Fields that are computed: a path into nested objects, or a text that joins several fields.

In     a record, and what ``--field`` gives in place of a name: ``data.question`` (a path; a number
       is an index of a list), or ``{title}\n{body}`` (a text with paths in braces).
Out    a copy of the record in which that path or text is a key like any other.
Raises RecordError: ``missing_field``, ``wrong_type``: a field that is to be joined is missing, or
       is not a string. ValueError: braces that are not closed.

A field whose own name is the path wins over the path.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

ESCAPES = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}
"""What these two characters stand for in a text that joins fields, as a shell passes them on."""
PART = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|\\[nt\\]|[^{}\\]+|\\")


def is_computed(name: str) -> bool:
    """Return whether a name that ``--field`` gives is a path or a text, not a plain name."""
    return "." in name.strip(".") or "{" in name


@lru_cache(maxsize=100)
def parts_of(text: str) -> tuple[tuple[bool, str], ...]:
    r"""Return the parts of a text that joins fields, each as (is a path, text).

    >>> parts_of(r"{title}\n{body.0}!")
    ((True, 'title'), (False, '\n'), (True, 'body.0'), (False, '!'))

    Raises:
        ValueError: a brace is not closed, or not opened.
    """
    parts: list[tuple[bool, str]] = []
    at = 0
    while at < len(text):
        found = PART.match(text, at)
        if found is None:
            raise ValueError(f"the brace at character {at + 1} has no partner; {{{{ stands for one")
        at = found.end()
        if found[1]:
            parts.append((True, found[1].strip()))
        else:
            parts.append(
                (False, ESCAPES.get(found[0], found[0].replace("{{", "{").replace("}}", "}")))
            )
    return tuple(parts)


def paths_of(name: str) -> list[str]:
    """Return the paths that a computed field reads."""
    if "{" in name:
        return [text for is_path, text in parts_of(name) if is_path]
    return [name]


def top_fields(names: Iterable[str]) -> set[str]:
    """Return the fields of a record that computed fields read: the first name of each path."""
    return {path.partition(".")[0] for name in names for path in paths_of(name)} | {
        path for name in names for path in paths_of(name)
    }


def value_at(record: Any, path: str) -> tuple[bool, Any]:
    """Return whether a path leads to a value, and the value.

    >>> value_at({"a": {"b": [1, 2]}}, "a.b.1"), value_at({"a.b": 3}, "a.b")
    ((True, 2), (True, 3))
    """
    if isinstance(record, dict) and path in record:
        return True, record[path]
    name, dot, rest = path.partition(".")
    if isinstance(record, list) and name.isdecimal() and int(name) < len(record):
        found = record[int(name)]
    elif isinstance(record, dict) and name in record:
        found = record[name]
    else:
        return False, None
    return value_at(found, rest) if dot else (True, found)
