"""The tokenizer in a dataset is the same for users of transformers 4 and 5 as the original."""

from pathlib import Path
from typing import Any

import pytest
from consumers import ask
from families import DEEPSEEK, LLAMA3, MISTRAL, QWEN, SHARED, tokenizer_of
from readers.tokenizer import facts
from real_tokenizers import deepseek, mistral
from toys import SAMPLE_TOKENIZER, piece_hf, put_bos, save_folder

from sftprep.tokenization.loading import load_tokenizer

pytestmark = pytest.mark.trainers

FAMILIES = {"qwen": QWEN, "llama3": LLAMA3, "deepseek": DEEPSEEK, "mistral": MISTRAL}
SOURCES = ("sample", "pieces", "gpt2", "mistral", "deepseek", *(f"small {f}" for f in FAMILIES))
TEXTS = [
    "Hello world", " a  b\n\n c", "<|im_start|>user\nhi<|im_end|>", "</s><s>[INST] x[/INST] y</s>",
    "日本語 é ﬁ 👩‍💻", "<think>a</think> <image>", "<x> y<x>", "<|endoftext|> z ", "",
]  # fmt: skip
CHAT = [{"role": "user", "content": "What is 1 + 1?"}, {"role": "assistant", "content": "2"}]


def source(name: str, folder: Path) -> Path:
    """Return the folder of a tokenizer; skip the test if it is not here."""
    if name == "sample":
        return SAMPLE_TOKENIZER
    if name == "pieces":
        hf = piece_hf("normalizer")
        put_bos(hf)
        config = {"bos_token": "<s>", "eos_token": "</s>", "padding_side": "left"}
        return save_folder(hf, folder, **config)
    if name == "mistral":
        return mistral(folder)
    if name == "deepseek":
        return deepseek()
    if not SHARED.is_dir():
        pytest.skip("needs GPT-2's tokenizer in the folder shared beside the clone")
    if name == "gpt2":
        return SHARED / "tokenizers" / "gpt2"
    return tokenizer_of(FAMILIES[name.removeprefix("small ")])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The files of each tokenizer as a dataset has them, and what should be seen of them."""
    found: dict[str, Any] = {}
    for name in SOURCES:
        folder = tmp_path_factory.mktemp("tokenizers")
        try:
            original = source(name, folder / "source")
        except pytest.skip.Exception:  # the others can be tried without it
            continue
        for path, data in load_tokenizer(str(original)).files.items():
            file = folder / "saved" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        found[str(folder / "saved")] = facts(str(original), TEXTS, CHAT) | {"padding side": "right"}
    return found


def test_same_in_this_version(saved: dict[str, Any]) -> None:
    """Ids, special tokens and the chat template are those of the original."""
    assert {folder: facts(folder, TEXTS, CHAT) for folder in saved} == saved


@pytest.mark.parametrize("version", ["4.51", "4.57"])
def test_same_in_earlier_versions(version: str, saved: dict[str, Any]) -> None:
    """The same is seen by users of transformers 4."""
    question = {"folders": list(saved), "texts": TEXTS, "chat": CHAT}
    assert ask(f"transformers-{version}", "tokenizer", question) == saved
