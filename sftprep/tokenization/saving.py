"""The files of a tokenizer, as a dataset keeps them: for every version of transformers.

In     a tokenizer of transformers 5.
Out    the files that ``save_pretrained`` writes, by their path; ``tokenizer_config.json`` is
       changed so that transformers 4 can read it too.
Keeps  the ids, the special tokens and the chat template that the tokenizer has.
Never  says how the tokenizer was loaded, and never names code that is not among the files.

What transformers 5 writes by itself cannot be loaded by version 4: it names a class that only
version 5 has, and lists the other special tokens under a key that is a mapping in version 4.
"""

import json
from pathlib import Path
from typing import Any

CONFIG = "tokenizer_config.json"
CLASS = "PreTrainedTokenizerFast"
"""The class that loads ``tokenizer.json`` as it is, in all versions.

Classes of models build another tokenizer from its vocabulary, each version in its own way.
"""
PADDING_SIDE = "right"
"""Where a trainer has to pad. Some models' tokenizers pad left, which is right for generation.

In training it gives another loss to a model with absolute positions, and to any model if the
trainer makes a mask of its own.
"""
LEFT_OUT = ("auto_map", "backend", "is_local", "local_files_only")
"""Keys that are not saved: code that is not among the files, and how the tokenizer was loaded."""


def saved_files(hf: Any) -> dict[str, bytes]:
    """Return the files to save, by their path.

    Args:
        hf: a tokenizer of transformers.
    """
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        hf.save_pretrained(folder)
        paths = sorted(p for p in Path(folder).rglob("*") if p.is_file())
        files = {str(p.relative_to(folder)): p.read_bytes() for p in paths}
    config = portable(json.loads(files[CONFIG]), list(hf.model_input_names))
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return files | {CONFIG: text.encode()}


def portable(config: dict[str, Any], model_input_names: list[str]) -> dict[str, Any]:
    """Return a ``tokenizer_config.json`` that versions 4 and 5 of transformers read alike.

    >>> config = {"backend": "tokenizers", "extra_special_tokens": ["<x>"]}
    >>> sorted(portable(config, ["input_ids"]))
    ['additional_special_tokens', 'model_input_names', 'padding_side', 'tokenizer_class']

    Args:
        config: what transformers 5 writes.
        model_input_names: what the tokenizer gives to a model. It has to be said, because with this
            class version 4 gives ``token_type_ids`` too, which most models refuse.
    """
    kept = {key: value for key, value in config.items() if key not in LEFT_OUT}
    if isinstance(kept.get("extra_special_tokens"), list):
        kept["additional_special_tokens"] = kept.pop("extra_special_tokens")
    if "model_specific_special_tokens" in kept:  # a mapping of names, such as image_token
        kept["extra_special_tokens"] = kept.pop("model_specific_special_tokens")
    return kept | {
        "tokenizer_class": CLASS,
        "padding_side": PADDING_SIDE,
        "model_input_names": model_input_names,
    }
