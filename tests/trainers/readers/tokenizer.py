"""Load tokenizers with transformers, and tell what a user of each sees.

In     folders of tokenizers; texts to encode; chat: messages for their chat templates.
Out    by folder, facts by their names.
"""

import json
import sys
from typing import Any

ROLES = ("bos", "eos", "pad", "unk")


def facts(folder: str, texts: list[str], chat: list[dict[str, str]]) -> dict[str, Any]:
    """Return what the tokenizer in a folder makes of some texts."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer(text)["input_ids"] for text in texts]
    return {
        "ids": ids,
        "ids of the text alone": [tokenizer(t, add_special_tokens=False).input_ids for t in texts],
        "decoded": [tokenizer.decode(row) for row in ids],
        "decoded as plain text": [tokenizer.decode(row, skip_special_tokens=True) for row in ids],
        "inputs of the model": sorted(tokenizer("a")),
        "special tokens": {role: getattr(tokenizer, f"{role}_token") for role in ROLES},
        "all special ids": sorted(tokenizer.all_special_ids),
        "padding side": tokenizer.padding_side,
        "size": len(tokenizer),
        "longest": tokenizer.model_max_length,
        "chat": tokenizer.chat_template and tokenizer.apply_chat_template(chat, tokenize=False),
    }


if __name__ == "__main__":
    question = json.loads(sys.argv[1])
    texts, chat = question["texts"], question["chat"]
    print(json.dumps({folder: facts(folder, texts, chat) for folder in question["folders"]}))
