"""The files of a tokenizer that a dataset keeps can be read by transformers 4 and 5.

What both versions make of the files is tried in ``tests/trainers/test_tokenizer.py``.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from toys import Token, byte_hf, put_bos, save_folder

from sftprep.tokenization.loading import load_tokenizer


def saved(tmp_path: Path, tokens: list[str], **config: Any) -> dict[str, Any]:
    """Load a tokenizer with this configuration; return the one that is saved."""
    hf = byte_hf([*map(Token, tokens)])
    folder = save_folder(hf, tmp_path / "toy", **config)
    files = load_tokenizer(str(folder), add_tokens=["<x>", "pad=<pad>"]).files
    found: dict[str, Any] = json.loads(files["tokenizer_config.json"])
    return found


def test_the_class_is_one_of_both_versions(tmp_path: Path) -> None:
    """``TokenizersBackend`` and the key ``backend`` exist in version 5 only."""
    config = saved(tmp_path, ["</s>"], eos_token="</s>")
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "backend" not in config
    assert (config["eos_token"], config["pad_token"]) == ("</s>", "<pad>")


@pytest.mark.parametrize("key", ["additional_special_tokens", "extra_special_tokens"])
def test_other_special_tokens(tmp_path: Path, key: str) -> None:
    """A list of tokens has the key that is a list in both versions."""
    config = saved(tmp_path, ["</s>", "<u>"], eos_token="</s>", **{key: ["<u>"]})
    assert config["additional_special_tokens"] == ["<u>"]
    assert "extra_special_tokens" not in config


def test_named_special_tokens(tmp_path: Path) -> None:
    """Tokens with names of their own stay a mapping, also beside a list."""
    config = saved(
        tmp_path,
        ["<u>", "<image>"],
        extra_special_tokens={"image_token": "<image>"},
        additional_special_tokens=["<u>"],
    )
    assert config["extra_special_tokens"] == {"image_token": "<image>"}
    assert "model_specific_special_tokens" not in config


@pytest.mark.parametrize("config", [{}, {"padding_side": "left"}])
def test_padding_is_on_the_right(tmp_path: Path, config: dict[str, Any]) -> None:
    """A trainer pads on the right, whatever side is right for generation."""
    assert saved(tmp_path, ["</s>"], **config)["padding_side"] == "right"


def test_inputs_of_the_model_are_said(tmp_path: Path) -> None:
    """By default, version 4 adds ``token_type_ids`` with this class."""
    assert saved(tmp_path, ["</s>"])["model_input_names"] == ["input_ids", "attention_mask"]
    names = ["input_ids", "token_type_ids", "attention_mask"]
    assert saved(tmp_path, ["</s>"], model_input_names=names)["model_input_names"] == names


def test_no_code_is_named(tmp_path: Path) -> None:
    """Code of a tokenizer's folder is not saved, so the saved files do not point to it."""
    auto_map = {"AutoTokenizer": ["custom.Custom", None]}
    assert "auto_map" not in saved(tmp_path, ["</s>"], auto_map=auto_map)


def test_the_saved_tokenizer_is_the_one_that_was_loaded(tmp_path: Path) -> None:
    """Loading the saved files gives the same tokenizer, and the same files again."""
    hf = byte_hf(["<s>", "</s>", "<u>"])
    put_bos(hf)
    folder = save_folder(
        hf,
        tmp_path / "toy",
        bos_token="<s>",
        eos_token="</s>",
        padding_side="left",
        additional_special_tokens=["<u>"],
        chat_template="{{ bos_token }}",
    )
    first = load_tokenizer(str(folder), add_tokens=["<x>"])
    for name, data in first.files.items():
        (tmp_path / "again").mkdir(exist_ok=True)
        (tmp_path / "again" / name).write_bytes(data)
    again = load_tokenizer(str(tmp_path / "again"))
    assert (again.json, again.added, again.special, again.adds_bos, again.chat_templates) == (
        first.json,
        first.added,
        first.special,
        first.adds_bos,
        first.chat_templates,
    )
    assert again.adds_bos
    assert again.files == first.files
