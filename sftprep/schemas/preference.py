"""Preference data: two answers to a prompt, of which one is better. Only one of them is trained on.

In     a record that has no known shape.
Out    the flags that take the good answer; None if the record is no preference data.
"""

from sftprep.data.conversation import Record
from sftprep.errors import RecordError

PROMPTS = ("prompt", "question", "query", "instruction", "input", "problem")


def preference_error(record: Record) -> RecordError | None:
    """Return the error for a record of preference data; None if it is none."""
    if not ("chosen" in record and "rejected" in record):
        return None
    return RecordError(
        "preference_data",
        "chosen and rejected: this is preference data, with a good and a bad answer",
        _cure(record),
    )


def _cure(record: Record) -> str:
    chosen = record["chosen"]
    prompt = next((name for name in PROMPTS if name in record), None)
    first = chosen[0] if isinstance(chosen, list) and chosen else None
    whole = isinstance(first, dict) and first.get("role", first.get("from")) not in (
        "assistant",
        "gpt",
    )
    if whole:
        return "Pass --field messages=chosen to train on the good answers only"
    if prompt is not None:
        return (
            f"Pass --field prompt={prompt} --field completion=chosen to train on the good answers "
            "only"
        )
    return "Split the chosen text into a prompt and a completion, to train on the good answers only"
