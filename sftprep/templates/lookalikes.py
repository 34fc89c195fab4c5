"""Find texts that look like control tokens of a known family of models.

If a template writes such a text and the tokenizer does not have the token, the text is encoded as
several pieces of plain text, which the model has never seen in that place. Whether it is meant as
a token is a judgement: some formats, such as Zephyr's ``<|user|>``, are plain text on purpose.

In     the text that a template writes by itself, without the texts of a record.
Out    the lookalikes that are no control tokens of the tokenizer.
"""

import re
from collections.abc import Iterable

from sftprep.data.control_tokens import ControlTokens

FAMILIES = (
    r"<\|[^\s<>|](?:[^<>|\n]{0,60}[^\s<>|])?\|>",  # <|im_start|>, <|eot_id|>, <|channel|>
    r"<｜[^<>｜\n]{1,60}｜>",  # DeepSeek
    r"<\|[A-Za-z][A-Za-z0-9_]*>|<[A-Za-z][A-Za-z0-9_]*\|>",  # <|turn> and <turn|>
    r"</?s>|<(?:bos|eos|sop|eop|sep)>|<(?:BOS|EOS)_TOKEN>",
    r"<(?:start|begin|beginning|end)_of_[a-z]+>",  # <start_of_turn>
    r"\[\|[A-Za-z]+\|\]",  # EXAONE's [|user|]
    r"\]~!?b[\[\]]|\[e~\[",  # MiniMax
    r"\[/?INST\]|\[gMASK\]",
    r"\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|MODEL_SETTINGS)\]",
    r"\[(?:CALL_ID|ARGS)\]",  # Mistral
    r"<extra_id_[0-9]+>|<SPECIAL_[0-9]+>|<reserved_[0-9]+>|<seed:[a-z_]+>",
)
"""Patterns for the control tokens of families of models."""
LOOKALIKE = re.compile("|".join(FAMILIES))
LLAMA_2 = "<<SYS>>"
"""In the format that has this marker, ``[INST]`` and ``[/INST]`` are plain text as well."""


def lookalikes(texts: Iterable[str], controls: ControlTokens) -> list[str]:
    """Return the lookalikes in a template's texts that are no control tokens, in order.

    Args:
        texts: the texts that the template writes.
        controls: finds the tokenizer's control tokens.

    >>> lookalikes(["<|im_start|>user", "[INST] </s>"], ControlTokens([]))
    ['<|im_start|>', '[INST]', '</s>']
    """
    texts = list(texts)
    # A text that is no control token may hold one that is: they are divided first.
    found: dict[str, None] = {}
    for text in texts:
        if LOOKALIKE.search(text):
            plain = (part for part in controls.split(text) if isinstance(part, str))
            found.update(dict.fromkeys(m[0] for part in plain for m in LOOKALIKE.finditer(part)))
    is_llama_2 = any(LLAMA_2 in text for text in texts)
    return [text for text in found if not (is_llama_2 and text in ("[INST]", "[/INST]"))]
