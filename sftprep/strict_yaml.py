"""Parses YAML strictly: only plain values, and no key twice in one mapping.

In     one YAML document, which a user wrote: a recipe or a template.
Out    its value, made of mappings, lists, texts, numbers, dates, true, false and null.
Never  runs code of the document. Of two equal keys none is chosen.
Raises ValueError: the document is not valid YAML; the message has one line.
"""

from typing import Any

from sftprep.text import shown


def parse_yaml(data: bytes | str) -> Any:
    """Parse a YAML document.

    >>> parse_yaml("max_length: 512")
    {'max_length': 512}
    """
    import yaml  # late: worker processes receive recipes and templates that are already parsed

    try:
        loader = yaml.SafeLoader(data)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _refuse_equal_keys(root)
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except Exception as error:  # PyYAML raises more than YAMLError: 2001-99-99 is a ValueError
        raise ValueError(" ".join(str(error).split())) from error


def _refuse_equal_keys(root: Any) -> None:
    """Raise a ``ValueError`` if a mapping in the document has two equal keys."""
    import yaml

    waiting: list[Any] = [root]
    seen: set[int] = set()  # an alias may lead back to a node that was looked at
    while waiting:
        node = waiting.pop()
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            continue
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            waiting += (key, value)
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if (key.tag, key.value) in lines:
                first = lines[key.tag, key.value]
                raise ValueError(
                    f"the key {shown(key.value)} is given twice, in lines {first} and {line}"
                )
            lines[key.tag, key.value] = line
