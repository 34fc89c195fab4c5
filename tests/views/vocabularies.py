"""Two small vocabularies, written down by hand."""

import json
from typing import Any

from sftprep.views.vocabulary import Vocabulary


def tokenizer_json(
    vocab: Any, decoder: dict[str, Any] | None, added: dict[str, int] | None = None, **model: Any
) -> str:
    """Return a tokenizer.json with only the parts that determine the bytes of tokens."""
    tokens = [{"id": number, "content": content} for content, number in (added or {}).items()]
    return json.dumps(
        {"added_tokens": tokens, "decoder": decoder, "model": {"vocab": vocab, **model}}
    )


BYTE_LEVEL = Vocabulary(
    tokenizer_json(
        {
            "Hi": 0, "Ġthere": 1, "Ċ": 2, "ä¸": 3, "Ń": 4, "ĊĊ": 5, "Ġä¸": 6, "ŃæĸĩŁ": 7,
            "Ľ[2J": 8, "ĉ": 9, ".": 10, "à": 11, "âĢ®": 12,
        },
        {"type": "ByteLevel"},
        {"<|user|>": 20, "<|end|>": 21, "  ": 22},
    )
)  # fmt: skip
SENTENCE_PIECE = Vocabulary(
    tokenizer_json(
        {
            "<unk>": 0, "<s>": 1, "</s>": 2, "▁Hi": 3, "▁": 4, "<0xE4>": 5, "<0xB8>": 6,
            "<0xAD>": 7, "文": 8, "<0x0A>": 9, "[INST]": 10, "<0x1B>": 11,
        },
        {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        {"<unk>": 0, "<s>": 1, "</s>": 2, "[INST]": 10},
        byte_fallback=True,
    )
)  # fmt: skip
