"""A tokenizer for a chat template: GPT-2's BPE with the control tokens that the template writes.

Models' tokenizers cannot be downloaded in a test. What counts for a chat template is which of the
texts that it writes are control tokens, and which of them end a turn; both are read off the
template's own literals.
"""

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

MARKS = re.compile(
    r"<\|[^\s<>|]{1,40}\|>"  # <|im_start|>
    r"|<\|[a-z_\"]{1,20}>|<[a-z_]{1,20}\|>"  # Gemma 4: <|turn>, <turn|>
    r"|<｜[^<>\s]{1,40}｜>"  # DeepSeek
    r"|\[\|[a-z_]{1,20}\|\]"  # EXAONE
    r"|</?seed:[a-z_]{1,30}>|</?minimax:[a-z_]{1,30}>"
    r"|\[/?[A-Z][A-Z_]{2,30}\]"  # Mistral: [INST], [TOOL_CALLS]
    r"|</?(?:think|tool_call|tool_response|start_of_turn|end_of_turn|arg_key|arg_value|answer)>"
    r"|<(?:bos|eos|BOS_TOKEN|EOS_TOKEN|sop|eop|CLS|SEP|extra_id_\d+|reserved_\d+)>"
    r"|\[gMASK\]|\]~b\]|\]~!b\[|\[e~\[|</?s>"
)
ROLES = ("user", "assistant", "system", "tool")

# The tokens that end a turn, the most certain first; the first that a template writes is its EOS.
STOPS = (
    "<|im_end|>", "<|eot_id|>", "<|eot|>", "<end_of_turn>", "<turn|>", "<|return|>",
    "<|END_OF_TURN_TOKEN|>", "<｜end▁of▁sentence｜>", "<|end_of_turn|>", "<|eom_id|>", "<|eom|>",
    "<|call|>", "<|end|>", "[|endofturn|]", "<seed:eos>", "[e~[", "<|role_end|>", "<|end_of_text|>",
    "<|end_of_role|>end", "<SPECIAL_12>", "<|assistant_end|>", "<end_of_utterance>", "<|eos|>",
    "<|im_sep|>end", "<|endofassistant|>", "<|message_sep|>", "<|eoa|>", "<|content|>end",
    "<｜hy_eos｜>", "<｜hy_place▁holder▁no▁2｜>", "<|eos_token|>", "<|endoftext|>", "<eos>", "</s>",
)  # fmt: skip
BOS = (
    "<|begin_of_text|>", "<bos>", "<｜begin▁of▁sentence｜>", "<BOS_TOKEN>", "<|startoftext|>",
    "<seed:bos>", "[BOS]", "<｜hy_begin▁of▁sentence｜>", "<s>",
)  # fmt: skip
# No token ends an answer; the role token of the next message does.
ROLE_STOPS = ("<|user|>", "<|observation|>")


def literals(source: str) -> Iterator[str]:
    """Return the texts that a template itself holds."""
    from jinja2 import nodes

    for node in parsed(source).find_all((nodes.TemplateData, nodes.Const)):
        value = node.data if isinstance(node, nodes.TemplateData) else node.value
        if isinstance(value, str):
            yield value


def parsed(source: str) -> Any:
    """Return a template's syntax tree, parsed as transformers parses it."""
    from transformers.utils import chat_template_utils

    return chat_template_utils._compile_jinja_template(source).environment.parse(source)


def control_tokens(source: str) -> list[str]:
    """Return the control tokens of the model that a template was written for."""
    found: dict[str, None] = {}
    texts = list(literals(source))
    for text in texts:
        found.update(dict.fromkeys(MARKS.findall(text)))
    if any(text.endswith("<|") for text in texts):  # '<|' + message.role + '|>'
        found.update(dict.fromkeys(f"<|{role}|>" for role in ROLES))
    return list(found)


def stop_tokens(source: str, tokens: list[str], eos: str | None) -> list[str]:
    """Return the tokens of a model that end its turn."""
    stops = [token for token in STOPS if token in tokens]
    if eos is not None and eos not in stops:
        stops.insert(0, eos)
    has_turn_end = any(token not in ("<|endoftext|>", "<eos>", "</s>") for token in stops)
    if not has_turn_end and "<|observation|>" in tokens and "<|assistant|>" in tokens:
        stops += [token for token in ROLE_STOPS if token in tokens]
    return stops


@cache
def load(base: Path) -> Any:
    """Return a tokenizer that is read once."""
    import transformers

    return transformers.AutoTokenizer.from_pretrained(base)


def save_tokenizer(
    source: str, folder: Path, base: Path, facts: dict[str, str]
) -> tuple[Any, list[str]]:
    """Write the tokenizer for a template, and return it with the tokens that end a turn.

    Args:
        source: the template.
        folder: where to write; it gets a ``generation_config.json`` too.
        base: the folder of GPT-2's tokenizer.
        facts: the model's ``bos_token`` and ``eos_token``, where they are known.
    """
    from tokenizers import AddedToken

    tokens = control_tokens(source)
    eos = facts.get("eos_token") or next((token for token in STOPS if token in tokens), "</s>")
    bos = facts.get("bos_token") or next((token for token in BOS if token in tokens), "<s>")
    tokenizer = copy.deepcopy(load(base))
    known = set(tokenizer.added_tokens_encoder)
    new = [token for token in dict.fromkeys([*tokens, bos, eos]) if token not in known]
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=True) for token in new])
    tokenizer.add_special_tokens({"bos_token": bos, "eos_token": eos, "pad_token": eos})
    tokenizer.save_pretrained(folder)
    stops = stop_tokens(source, tokens, eos)
    config = {"eos_token_id": [tokenizer.convert_tokens_to_ids(token) for token in stops]}
    (folder / "generation_config.json").write_text(json.dumps(config))
    return tokenizer, stops
