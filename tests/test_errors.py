"""Errors of records."""

import pickle

from sftprep.errors import RecordError


def test_record_error_crosses_processes() -> None:
    """A record's error is the same after a worker has sent it to the parent."""
    error = RecordError("reason", "what is wrong", "Do this", 7, 2)
    back = pickle.loads(pickle.dumps(error))
    facts = ("reason", "what is wrong", "Do this", 7, 2)
    assert facts == (back.reason, back.problem, back.cure, back.column, back.row)
    assert (
        back.text("a.jsonl:3")
        == "a.jsonl:3:7: what is wrong. Do this, or pass --on-error quarantine."
    )
    assert (
        RecordError("reason", "what is wrong").text("a.jsonl:3")
        == "a.jsonl:3: what is wrong. Fix the record, or pass --on-error quarantine."
    )
