"""The part of the summary that says how the records were understood."""

from typing import Any

from manifests import counts, manifest

from sftprep.cli.read_as import read_as


def lines(*inputs: dict[str, Any], **found: Any) -> list[str]:
    """Return the lines for these inputs and counts."""
    return read_as(manifest(inputs=list(inputs), counts=counts(**found)))


def test_nothing_to_say() -> None:
    """Records with the usual names need no line."""
    assert lines({"schema": "messages", "fields": {"messages": "messages", "role": "role"}}) == []


def test_fields_of_several_inputs() -> None:
    """Each other name is said once; a list that is the record itself has none."""
    assert lines(
        {"schema": "question/answer", "fields": {"prompt": "question", "completion": "answer"}},
        {"schema": "question/response", "fields": {"prompt": "question", "completion": "response"}},
        {"schema": "list of texts", "fields": {"messages": "", "role": "role"}},
        {"schema": "text", "fields": {"text": "text"}},
    ) == [
        "  fields     read: question as prompt, answer as completion, response as completion",
        "  text       the records have no turns: their whole text is trained",
    ]


def test_many_names() -> None:
    """A line lists the most frequent names, and says how many more there are."""
    ignored = {f"x{n:02}": 20 - n for n in range(12)}
    (line,) = lines(ignored_fields=ignored)
    assert line.startswith("  ignored    x00 (20 records), x01 (19 records), ")
    assert line.endswith("x09 (11 records), and 2 more: see --json")


def test_names_are_safe_to_print() -> None:
    """Control characters in names are written as escapes."""
    assert lines(roles={"a\x1b as user": 1}) == ["  roles      read: a\\x1b as user (1 message)"]


def test_hints() -> None:
    """A name close to a known one, and one that looks like a flag, are pointed out."""
    found = lines(
        ignored_fields={"messages[].loss_scale": 1, "contxt": 1, "source": 1, "Prompt": 1}
    )
    assert found[1:] == [
        "             messages[].loss_scale looks like a loss flag, but is not read as one; the "
        "names are train, trainable, training, loss, loss_mask, loss_weight, weight, mask, masked",
        "             contxt is not read: did you mean context?",
        "             Prompt is not read: did you mean prompt?",
    ]
