"""Rows as JSON, for scripts.

In     rows as they are shown; the vocabulary; the options of the dataset.
Out    one JSON object with a list of rows: ids, and the runs of tokens that one text has given,
       each with the reason why it is trained or not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from sftprep.views.token_text import Row
from sftprep.views.vocabulary import Vocabulary
from sftprep.views.why import reasons


def rows_as_json(rows: Sequence[Row], vocabulary: Vocabulary, recipe: Mapping[str, Any]) -> bytes:
    """Return rows as one JSON object.

    Args:
        rows: the rows.
        vocabulary: the vocabulary of the tokenizer.
        recipe: the options of the dataset, by name.
    """
    found = [_row(row, vocabulary, recipe) for row in rows]
    return orjson.dumps({"rows": found}, option=orjson.OPT_APPEND_NEWLINE)


def _row(row: Row, vocabulary: Vocabulary, recipe: Mapping[str, Any]) -> dict[str, Any]:
    tokens = [vocabulary.token(token).data for token in row.ids]

    def text(start: int, stop: int) -> str:
        return b"".join(tokens[start:stop]).decode("utf-8", "backslashreplace")

    return {
        "row": row.number,
        "place": row.place,
        "tokens": len(row.ids),
        "trained_tokens": sum(map(bool, row.trained)),
        "remarks": list(row.remarks),
        "input_ids": list(row.ids),
        "trained": [bool(each) for each in row.trained],
        "documents": [
            {"place": part.heading, "start": part.start, "stop": part.stop}
            for part in row.parts
            if part.is_shown
        ],
        "runs": [
            {
                "start": each.start,
                "stop": each.stop,
                "writer": each.writer,
                "trained": each.trained,
                "why": each.why,
                "text": text(each.start, each.stop),
            }
            for each in reasons(row.runs, recipe)
        ],
    }
