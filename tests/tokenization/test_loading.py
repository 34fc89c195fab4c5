"""Tokenizers are loaded through transformers, and tokens are added to them."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from toys import (
    SAMPLE_TOKENIZER,
    Token,
    byte_hf,
    piece_hf,
    put_bos,
    recipe,
    save_folder,
    tree,
    write_jsonl,
)

from sftprep import TokenizerError, load_manifest, prepare
from sftprep.data.control_tokens import AddedToken
from sftprep.tokenization.loading import load_tokenizer, split_role
from sftprep.tokenization.tokenizer import Tokenizer

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved byte-level tokenizer with an EOS and two more added tokens."""
    hf = byte_hf(["</s>", Token("<u>", special=False), Token("  ", special=False)], [(" ", "b")])
    return save_folder(hf, tmp_path / "toy", eos_token="</s>", model_max_length=99)


# --- loading ------------------------------------------------------------------------------------


def test_folder(folder: Path) -> None:
    """The folder gives the tokenizer's tokens, sizes and limits."""
    tokenizer = load_tokenizer(str(folder))
    assert (
        tokenizer.name,
        tokenizer.adds_bos,
        tokenizer.size,
        tokenizer.newly_added,
        tokenizer.model_max_length,
        tokenizer.chat_templates,
    ) == ("toy", False, 260, (), 99, {})
    assert tokenizer.special == {"eos": "</s>"}
    assert (
        AddedToken("</s>", 257, True, False, False, False, False),
        AddedToken("<u>", 258, False, False, False, False, False),
        AddedToken("  ", 259, False, False, False, False, False),
    ) == tokenizer.added


def test_sample_tokenizer() -> None:
    """The sample tokenizer has its chat template, its EOS and its PAD."""
    tokenizer = load_tokenizer(str(SAMPLE_TOKENIZER))
    template = (SAMPLE_TOKENIZER / "chat_template.jinja").read_text(encoding="utf-8")
    assert tokenizer.special == {"eos": "<|endoftext|>", "pad": "<|pad|>"}
    assert (4096, 4096, {"default": template}) == (
        tokenizer.size,
        tokenizer.model_max_length,
        tokenizer.chat_templates,
    )


@pytest.mark.parametrize(("bos", "expected"), [(True, True), (False, False)])
def test_adds_bos(tmp_path: Path, bos: bool, expected: bool) -> None:
    """Whether the tokenizer adds a BOS is found by encoding a text."""
    hf = byte_hf(["<s>", "</s>"])
    if bos:
        put_bos(hf)
    folder = save_folder(hf, tmp_path / "t", bos_token="<s>", eos_token="</s>")
    assert expected == load_tokenizer(str(folder)).adds_bos


@pytest.mark.parametrize("bos", [True, False])
def test_single_file(tmp_path: Path, bos: bool) -> None:
    """A ``tokenizer.json`` names no special tokens; a token that it puts first is its BOS."""
    hf = byte_hf(["<s>", "</s>"])
    if bos:
        put_bos(hf)
    hf.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer.json"))
    assert (bos, {"bos": "<s>"} if bos else {}) == (tokenizer.adds_bos, tokenizer.special)
    assert (tokenizer.name, tokenizer.size) == ("tokenizer.json", 258)


def test_single_file_with_roles(tmp_path: Path) -> None:
    """``eos=TOKEN`` names the EOS of a ``tokenizer.json``; a token it has is not added again."""
    byte_hf(["<s>", "</s>"]).save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer.json"), add_tokens=["eos=</s>"])
    assert (tokenizer.special, tokenizer.newly_added, tokenizer.size) == ({"eos": "</s>"}, (), 258)


def test_sentencepiece_style(tmp_path: Path) -> None:
    """The model and the pre-tokenizer of a SentencePiece-style tokenizer are unchanged."""
    hf = piece_hf("first")
    put_bos(hf)
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = load_tokenizer(str(save_folder(hf, tmp_path / "t", **special)))
    assert (
        tokenizer.adds_bos,
        tokenizer.special,
    ) == (True, {"bos": "<s>", "eos": "</s>", "unk": "<unk>"})
    state, before = json.loads(tokenizer.json), json.loads(hf.to_str())
    assert before["pre_tokenizer"] == state["pre_tokenizer"]
    assert before["model"] == state["model"]


@pytest.mark.parametrize("limit", [10**30, 10**9])
def test_no_limit(tmp_path: Path, limit: int) -> None:
    """The huge number by which transformers writes that there is no limit becomes None."""
    folder = save_folder(
        byte_hf(["</s>"]), tmp_path / "t", eos_token="</s>", model_max_length=limit
    )
    assert load_tokenizer(str(folder)).model_max_length is None


def test_name_of_the_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tokenizer in the working folder is named after that folder."""
    monkeypatch.chdir(folder)
    assert load_tokenizer(".").name == "toy"


# --- adding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "added", "special"),
    [
        ([], (), {}),
        (["<x>"], ("<x>",), {}),
        (["<x>", "<x>"], ("<x>",), {}),
        (["<y>", "<x>"], ("<y>", "<x>"), {}),
        (["</s>", "<u>"], (), {}),
        (["pad=<p>"], ("<p>",), {"pad": "<p>"}),
        (["pad=</s>"], (), {"pad": "</s>"}),
        (["bos=</s>", "pad=</s>", "sep=<u>"], (), {"bos": "</s>", "pad": "</s>", "sep": "<u>"}),
        (["eos=<e>"], ("<e>",), {"eos": "<e>"}),
        (["<a=b>"], ("<a=b>",), {}),
        (["unk=<x>"], ("unk=<x>",), {}),
        (["A"], (), {}),
        ([" b "], (" b ",), {}),
    ],
)
def test_add_tokens(
    folder: Path, tokens: list[str], added: tuple[str, ...], special: dict[str, str]
) -> None:
    """A token is added only if the tokenizer lacks it, in the order given."""
    tokenizer = load_tokenizer(str(folder), add_tokens=tokens)
    assert (added, {"eos": "</s>"} | special) == (tokenizer.newly_added, tokenizer.special)
    assert 260 + len(added) == tokenizer.size
    assert [260 + n for n in range(len(added))] == [tokenizer.ids[token] for token in added]
    contents = [token.content for token in tokenizer.added]
    assert len(contents) == len(set(contents))


def test_a_word_of_the_vocabulary_keeps_its_id(folder: Path) -> None:
    """A token that is in the vocabulary as a plain word becomes a control token with its id."""
    assert ord("A") == load_tokenizer(str(folder), add_tokens=["A"]).ids["A"]


@pytest.mark.parametrize("token", ["", " ", "\n"])
def test_blank_token(folder: Path, token: str) -> None:
    """A token without visible text is refused."""
    with pytest.raises(TokenizerError) as caught:
        load_tokenizer(str(folder), add_tokens=[token])
    assert (
        f"--add-token {token!r}: the token is empty or only white space. "
        "Name a token with visible text."
    ) == str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eos=</s>", ("eos", "</s>")),
        ("sep=a=b", ("sep", "a=b")),
        ("pad=", (None, "pad=")),
        ("unk=x", (None, "unk=x")),
        ("EOS=x", (None, "EOS=x")),
        ("bos=\n", ("bos", "\n")),
        ("<|x|>", (None, "<|x|>")),
    ],
)
def test_split_role(text: str, expected: tuple[str | None, str]) -> None:
    """Only the four roles count in front of an equals sign; anything else is part of the token."""
    assert expected == split_role(text)


# --- errors -------------------------------------------------------------------------------------


def refused(source: Any) -> str:
    """The message for a tokenizer that cannot be loaded."""
    with pytest.raises(TokenizerError) as caught:
        load_tokenizer(str(source))
    return str(caught.value)


CURE = ". Name a folder with a tokenizer, a tokenizer.json file, or a hub id."


def test_empty_folder(tmp_path: Path) -> None:
    """An empty folder is refused."""
    assert (
        f"{tmp_path}: the folder is empty. Pass --tokenizer a folder that holds a tokenizer.json."
    ) == refused(tmp_path)


@pytest.mark.parametrize("path", ["./none", "/none/x", "~/none", "a/b/c"])
def test_missing_path(path: str) -> None:
    """A source that cannot be a hub id is a path, and the network is not used for it."""
    assert refused(path) == f"{path}: no such file or folder. Check --tokenizer."


@pytest.mark.parametrize("content", ["", "{}", "[1]", "not JSON", '{"version": "1.0"}'])
def test_broken_file(write: Write, content: str) -> None:
    """A file that holds no tokenizer is refused with a message of one line."""
    path = write("tokenizer.json", content)
    found = refused(path)
    assert found.startswith(f"tokenizer '{path}' cannot be loaded: "[:60])
    assert found.endswith(CURE)
    assert "\n" not in found


def test_folder_without_a_tokenizer(write: Write) -> None:
    """A folder that holds other files, but no tokenizer, is refused."""
    found = refused(write("d/readme.txt", "x").parent)
    assert found.endswith(CURE)


def test_unknown_hub_id() -> None:
    """A hub id that cannot be loaded is refused, with what to name instead."""
    found = refused("no-such-organization-x/no-such-tokenizer")
    assert found.startswith(
        "tokenizer 'no-such-organization-x/no-such-tokenizer' cannot be loaded: "
    )
    assert found.endswith(CURE)


def test_no_code_of_a_folder_is_run(tmp_path: Path, folder: Path) -> None:
    """Python code in a tokenizer's folder is never imported."""
    mark = tmp_path / "was-run"
    (folder / "custom.py").write_text(f"open({str(mark)!r}, 'w')\nclass Custom: pass\n")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"tokenizer_class": "Custom", "auto_map": {"AutoTokenizer": ["custom.Custom", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with suppress(TokenizerError):
        load_tokenizer(str(folder))
    assert not mark.exists()


def test_two_tokens_of_one_id(folder: Path) -> None:
    """A tokenizer with an id twice is refused, unless transformers repairs it."""
    state = json.loads((folder / "tokenizer.json").read_text())
    state["added_tokens"][1]["id"] = state["added_tokens"][0]["id"]
    (folder / "tokenizer.json").write_text(json.dumps(state))
    try:
        ids = load_tokenizer(str(folder)).ids
    except TokenizerError:
        return
    assert len(ids) == len(set(ids.values()))


# --- in the dataset -----------------------------------------------------------------------------


def test_saved_next_to_the_shards(folder: Path, tmp_path: Path) -> None:
    """The saved tokenizer is the one that was used, with added tokens, and holds no path."""
    source = write_jsonl(tmp_path / "a.jsonl", [{"prompt": "a", "completion": "b"}] * 3)
    options: dict[str, Any] = {"add_token": ["<x>", "sep=<y>"]}
    prepare(recipe(source, tmp_path / "out", folder, **options))
    used = load_tokenizer(str(folder), add_tokens=options["add_token"])
    saved = load_tokenizer(str(tmp_path / "out" / "tokenizer"))
    assert facts(used) == facts(saved)
    text = b"".join(tree(tmp_path / "out" / "tokenizer").values()).decode()
    assert str(tmp_path) not in text


def facts(tokenizer: Tokenizer) -> tuple[Any, ...]:
    """Everything that decides the ids."""
    return tokenizer.json, tokenizer.added, tokenizer.special, tokenizer.size, tokenizer.adds_bos


def test_the_same_from_another_folder(folder: Path, tmp_path: Path) -> None:
    """A tokenizer of the same name in another folder gives the same dataset, byte for byte."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tokenizer = tmp_path / name / "toy"
        tokenizer.mkdir()
        for path, data in tree(folder).items():
            (tokenizer / path).write_bytes(data)
        source = write_jsonl(tmp_path / name / "a.jsonl", [{"prompt": "a", "completion": "b"}] * 3)
        prepare(recipe(source, tmp_path / name / "out", tokenizer))
    assert tree(tmp_path / "one" / "out") == tree(tmp_path / "two" / "out")


def test_manifest(folder: Path, tmp_path: Path) -> None:
    """The manifest holds what a trainer must know about the tokenizer."""
    source = write_jsonl(tmp_path / "a.jsonl", [{"prompt": "a", "completion": "b"}])
    prepare(recipe(source, tmp_path / "out", folder, add_token=["<x>", "pad=</s>"]))
    found = load_manifest(tmp_path / "out").tokenizer
    assert {name: value for name, value in found.items() if name not in ("sha256", "files")} == {
        "name": "toy",
        "vocabulary_size": 261,
        "model_max_length": 99,
        "added_tokens": {"<x>": 260},
        "special_tokens": {
            "eos": {"token": "</s>", "id": 257},
            "pad": {"token": "</s>", "id": 257},
        },
        "adds_bos": False,
        "stop_tokens": ["</s>"],
        "pad_is_eos": True,
    }
    assert {"tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"} <= set(found["files"])


def test_how_it_was_loaded_is_not_saved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The saved files do not depend on whether transformers may use the network."""
    online = load_tokenizer(str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = load_tokenizer(str(folder))
    assert online.files == offline.files
    saved = json.loads(online.files["tokenizer_config.json"])
    assert not {"is_local", "local_files_only"} & set(saved)


def test_separator_token(folder: Path, tmp_path: Path) -> None:
    """A sep token that was named separates prompt and completion, as one id."""
    source = write_jsonl(tmp_path / "a.jsonl", [{"prompt": "a", "completion": "b"}])
    prepare(recipe(source, tmp_path / "out", folder, add_token=["sep=<x>"], format="jsonl"))
    row = json.loads(next((tmp_path / "out").glob("data/train-*")).read_text())
    assert (row["input_ids"], row["labels"]) == ([97, 260, 98, 257], [-100, -100, 98, 257])


# --- tokens that stop the model -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("eos_token_id", "named", "stops"),
    [
        (None, (), ("</s>",)),
        (258, ("<u>",), ("<u>",)),
        ([258, 257, 258], ("<u>", "</s>"), ("<u>", "</s>")),
        ([97], ("a",), ("a",)),
    ],
)
def test_stops(
    folder: Path, eos_token_id: Any, named: tuple[str, ...], stops: tuple[str, ...]
) -> None:
    """The tokens of ``generation_config.json`` stop the model; if it names none, EOS does."""
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": eos_token_id}))
    tokenizer = load_tokenizer(str(folder))
    assert (tokenizer.generation_stops, tokenizer.stops) == (named, stops)


def test_stops_without_a_file(folder: Path) -> None:
    """Without the file EOS stops the model; a tokenizer without EOS has no stop."""
    assert load_tokenizer(str(folder)).stops == ("</s>",)
    assert load_tokenizer(str(folder / "tokenizer.json")).stops == ()


def test_the_generation_config_is_saved(folder: Path) -> None:
    """It is saved with the tokenizer, so that the dataset can be rebuilt from its own files."""
    (folder / "generation_config.json").write_bytes(b'{"eos_token_id": 258}\n')
    assert load_tokenizer(str(folder)).files["generation_config.json"] == b'{"eos_token_id": 258}\n'


@pytest.mark.parametrize("token_id", [260, -1])
def test_a_stop_that_is_no_token(folder: Path, token_id: int) -> None:
    """An id that the tokenizer does not have is refused: the files do not belong together."""
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [257, token_id]}))
    with pytest.raises(TokenizerError) as caught:
        load_tokenizer(str(folder))
    assert str(caught.value) == (
        f"tokenizer '{folder}': its generation_config.json names the id {token_id} in "
        "eos_token_id, which the tokenizer does not have. Correct the file."
    )


def test_stops_of_a_hub_id(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of a hub id is found as the tokenizer's files are: here, in the local cache."""
    commit = "0" * 40
    repo = tmp_path / "hub" / "models--owner--name"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    (folder / "generation_config.json").write_text('{"eos_token_id": 258}')
    (folder / "config.json").write_text("{}")
    (repo / "snapshots").mkdir()
    folder.rename(repo / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load_tokenizer("owner/name").generation_stops == ("<u>",)
    (repo / "snapshots" / commit / "generation_config.json").unlink()
    assert load_tokenizer("owner/name").generation_stops == ()


# --- tokens without an id -------------------------------------------------------------------------


def test_a_token_that_only_the_configuration_names(tmp_path: Path) -> None:
    """An EOS without an id is added by transformers behind the vocabulary; it counts as added."""
    folder = save_folder(byte_hf(["<u>"]), tmp_path / "t", eos_token="<|end|>", pad_token="<u>")
    tokenizer = load_tokenizer(str(folder), add_tokens=["<x>", "<u>"])
    assert tokenizer.newly_added == ("<|end|>", "<x>")
    assert (tokenizer.special_id("eos"), tokenizer.size) == (257, 259)


def test_a_token_whose_id_is_in_the_configuration(tmp_path: Path) -> None:
    """A token with an id in ``added_tokens_decoder`` is not new: the model knows it."""
    entry = {"content": "<|end|>", "special": True, "lstrip": False, "rstrip": False,
             "single_word": False, "normalized": False}  # fmt: skip
    folder = save_folder(
        byte_hf(["<u>"]),
        tmp_path / "t",
        eos_token="<|end|>",
        added_tokens_decoder={"257": entry},
    )
    tokenizer = load_tokenizer(str(folder))
    assert (tokenizer.newly_added, tokenizer.special_id("eos")) == ((), 257)
