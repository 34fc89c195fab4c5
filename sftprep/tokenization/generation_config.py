"""Read which tokens stop the model at inference: ``eos_token_id`` in ``generation_config.json``.

In     the bytes of the file.
Out    the ids, in the order of the file; none if it names none.
Raises TokenizerError: the file is not a JSON object, or ``eos_token_id`` is not an id or a list of
       ids.
"""

import json

from sftprep.errors import TokenizerError
from sftprep.text import shown

GENERATION_CONFIG = "generation_config.json"


def stop_ids(data: bytes, source: str) -> list[int]:
    """Return the ids of the tokens that stop the model.

    Args:
        data: the bytes of ``generation_config.json``.
        source: the folder or hub id that it belongs to, for the error message.

    >>> stop_ids(b'{"eos_token_id": [5, 7]}', "model"), stop_ids(b'{"eos_token_id": 5}', "model")
    ([5, 7], [5])
    """
    try:
        config = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _unusable(source, f"is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise _unusable(source, f"holds {shown(config)}; expected an object")
    found = config.get("eos_token_id")
    ids = found if isinstance(found, list) else [] if found is None else [found]
    if not all(type(token_id) is int for token_id in ids):
        raise _unusable(source, f"has eos_token_id {shown(found)}; expected an id or a list of ids")
    return list(ids)


def _unusable(source: str, problem: str) -> TokenizerError:
    return TokenizerError(
        f"tokenizer {shown(source)}: its {GENERATION_CONFIG} {problem}. Correct the file."
    )
