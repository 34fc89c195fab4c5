"""What a person sees: rows and templates in a terminal, with colour and without.

Whole texts are compared. Small tokenizers are written down here; the commands run on the sample
data, whose tokenizer is byte-level BPE.
"""

import json
import os
import pty
import shutil
import subprocess
import sys
from io import BytesIO, RawIOBase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from sftprep import Recipe, prepare
from sftprep.cli.app import app
from sftprep.errors import DataError, NoInputError, StorageError, TemplateError, UsageError
from sftprep.views.inspect import inspect_dataset
from sftprep.views.preview import preview
from sftprep.views.templates import describe_template, list_templates
from sftprep.views.token_text import Row, legend, paint, show_row, units
from sftprep.views.vocabulary import Token, Vocabulary

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
TOKENIZER = SAMPLES / "tokenizer"

# ------------------------------------------------------------------------- tokenizers, written down


def tokenizer_json(
    vocab: Any, decoder: dict[str, Any] | None, added: dict[str, int] | None = None, **model: Any
) -> str:
    """A tokenizer.json with what is needed to tell a token's bytes."""
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


def plain(vocabulary: Vocabulary, ids: list[int], trained: str) -> str:
    """The row without colour; ``trained`` has an x for each trained token."""
    return paint(units(vocabulary, ids, [mark == "x" for mark in trained]), colour=False)


def coloured(vocabulary: Vocabulary, ids: list[int], trained: str) -> str:
    """The row with colour, its escapes written as ``{...}`` and a reset as ``{}``."""
    text = paint(units(vocabulary, ids, [mark == "x" for mark in trained]), colour=True)
    return text.replace("\x1b[0m", "{}").replace("\x1b[", "{").replace("m", "}")


# ---------------------------------------------------------------------------------- the vocabulary


def test_a_byte_level_token_is_its_bytes() -> None:
    """A byte-level token stands for bytes, which need not be whole characters."""
    found = [BYTE_LEVEL.token(number) for number in (0, 1, 2, 3, 4)]

    assert found == [
        Token(b"Hi", False),
        Token(b" there", False),
        Token(b"\n", False),
        Token(b"\xe4\xb8", False),
        Token(b"\xad", False),
    ]


def test_a_sentence_piece_token_is_its_text_or_one_byte() -> None:
    """The sign for a space is a space, ``<0xE4>`` is a byte, all else is text."""
    found = [SENTENCE_PIECE.token(number) for number in (3, 4, 5, 8)]

    assert found == [
        Token(b" Hi", False),
        Token(b" ", False),
        Token(b"\xe4", False),
        Token("文".encode(), False),
    ]


def test_control_tokens_are_the_added_ones_that_are_not_white_space() -> None:
    """An added token of spaces is text; an added token inside the vocabulary is a control token."""
    assert BYTE_LEVEL.token(20) == Token(b"<|user|>", True)
    assert BYTE_LEVEL.token(22) == Token(b"  ", False)
    assert SENTENCE_PIECE.token(1) == Token(b"<s>", True)


def test_a_unigram_vocabulary_is_a_list() -> None:
    """A Unigram model numbers pieces by their place; Metaspace names the sign for a space."""
    decoder = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}
    vocabulary = Vocabulary(tokenizer_json([["<unk>", 0.0], ["▁a", -1.0]], decoder))

    assert vocabulary.token(1) == Token(b" a", False)


def test_other_tokens_are_shown_as_written() -> None:
    """WordPiece's tokens, and those of a tokenizer without a decoder, stay as they are."""
    word_piece = Vocabulary(tokenizer_json({"##ing": 0}, {"type": "WordPiece", "prefix": "##"}))
    bare = Vocabulary(tokenizer_json({"<0x41>": 0}, None))

    assert word_piece.token(0) == Token(b"##ing", False)
    assert bare.token(0) == Token(b"<0x41>", False)


def test_an_id_that_is_no_token_is_named() -> None:
    """A row of another tokenizer does not end in a traceback."""
    assert plain(BYTE_LEVEL, [0, 99], "--") == "Hi‹no token 99›"


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"model": {"vocab": {}}}'])
def test_a_damaged_tokenizer_file_is_a_data_error(text: str) -> None:
    """What is no tokenizer.json is refused by its name."""
    with pytest.raises(DataError, match=r"^x/tokenizer\.json: is damaged, or no tokenizer\.json: "):
        Vocabulary(text, "x/tokenizer.json")


@pytest.mark.parametrize("name", ["messages.jsonl", "prompt_completion.jsonl", "sharegpt.jsonl"])
def test_the_bytes_of_a_texts_tokens_are_the_texts_bytes(name: str) -> None:
    """Nothing is lost or added between a text and what is shown of its tokens."""
    from tokenizers import Tokenizer

    path = TOKENIZER / "tokenizer.json"
    vocabulary, tokenizer = Vocabulary(path.read_bytes()), Tokenizer.from_file(str(path))
    text = (SAMPLES / name).read_text("utf-8") + "👩‍👩‍👧 \x00 \u3000 ſ"

    ids = tokenizer.encode(text, add_special_tokens=False).ids

    assert b"".join(vocabulary.token(number).data for number in ids) == text.encode()


# ------------------------------------------------------------------------------------------- a row


def test_plain_marks() -> None:
    """A trained span stands in brackets, with dots between tokens but none at control tokens."""
    assert plain(BYTE_LEVEL, [20, 0, 1, 0, 10, 21], "---xxx") == (
        "<|user|>Hi· there⟦Hi·.<|end|>⟧"
    )  # fmt: skip


def test_several_trained_spans() -> None:
    """Each trained span has its own brackets."""
    assert plain(BYTE_LEVEL, [0, 21, 20, 0, 21], "xx-xx") == "⟦Hi<|end|>⟧<|user|>⟦Hi<|end|>⟧"


def test_newlines_break_the_line_behind_their_sign() -> None:
    """A line's last dot or bracket stands in the line that it ends."""
    assert plain(BYTE_LEVEL, [0, 2, 0, 5, 0, 2], "--xxx-") == "Hi·↵\n⟦Hi·↵\n↵·\nHi⟧↵"
    assert plain(BYTE_LEVEL, [0, 2, 0], "xx-") == "⟦Hi·↵⟧\nHi"
    assert plain(BYTE_LEVEL, [2, 2], "--") == "↵·\n↵"


def test_colours() -> None:
    """Green is trained, dim is not, reverse is a control token, underlined is every other token."""
    assert coloured(BYTE_LEVEL, [20, 20, 0, 1, 0, 10, 21], "----xxx") == (
        "{2;7}<|user|>{}{2;7;4}<|user|>{}{2}Hi{}{2;4} there{}{32}Hi{}{32;4}.{}{32;7}<|end|>{}"
    )


def test_colours_end_with_the_line() -> None:
    """No colour reaches over a line break, and the last break is left out."""
    assert coloured(BYTE_LEVEL, [0, 5, 2], "x--") == "{32}Hi{}{2;4}↵{}\n{2;4}↵{}\n{2}↵{}"


def test_a_character_of_several_tokens_is_shown_whole() -> None:
    """Tokens that share a character are one piece; without it each half is bytes."""
    assert plain(BYTE_LEVEL, [0, 3, 4, 0], "----") == "Hi·中·Hi"
    assert plain(BYTE_LEVEL, [6, 4, 0], "xxx") == "⟦ 中·Hi⟧"
    assert coloured(BYTE_LEVEL, [0, 3, 4, 0], "-xxx") == "{2}Hi{}{32;4}中{}{32}Hi{}"
    assert plain(SENTENCE_PIECE, [1, 3, 5, 6, 7, 8], "--xxxx") == "<s> Hi⟦中·文⟧"


def test_bytes_that_never_become_a_character() -> None:
    """Lone bytes are escapes, and what follows them is shown as ever."""
    assert plain(BYTE_LEVEL, [3, 0], "--") == r"\xe4\xb8·Hi"
    assert plain(BYTE_LEVEL, [3, 21], "--") == r"\xe4\xb8<|end|>"
    assert plain(BYTE_LEVEL, [4, 4], "--") == r"\xad·\xad"
    assert plain(BYTE_LEVEL, [0, 3], "xx") == r"⟦Hi·\xe4\xb8⟧"
    assert plain(BYTE_LEVEL, [7, 0], "--") == r"\xad文\x9f·Hi"
    assert plain(SENTENCE_PIECE, [5, 3], "--") == r"\xe4· Hi"


def test_a_character_that_is_trained_in_part() -> None:
    """Where the loss turns on inside a character its bytes are shown on their sides."""
    assert plain(BYTE_LEVEL, [3, 4], "-x") == r"\xe4\xb8⟦\xad⟧"


def test_data_cannot_act_on_the_terminal() -> None:
    """Escape sequences, tabs and direction marks come out as escapes, in every tokenizer."""
    assert plain(BYTE_LEVEL, [8, 9, 12], "---") == r"\x9b[2J·\t·\u202e"
    assert plain(SENTENCE_PIECE, [11, 9], "--") == "\\x1b·↵"
    assert "\x1b" not in plain(SENTENCE_PIECE, [11], "-")
    assert coloured(SENTENCE_PIECE, [11], "-") == r"{2}\x1b{}"


def test_an_empty_row() -> None:
    """A row without tokens has a header all the same."""
    row = Row(number=0, ids=[], trained=[])

    assert show_row(row, BYTE_LEVEL, colour=False) == "row 0: 0 tokens, 0 trained\n"


def test_a_rows_header() -> None:
    """Number, length, trained share and place; control tokens with their ids; remarks."""
    row = Row(
        number=1234,
        ids=[20, 0, 21, 20, 0, 21],
        trained=[False, False, False, False, True, True],
        place="a\x1b.jsonl:7",
        remarks=("cut to --max-length",),
    )

    assert show_row(row, BYTE_LEVEL, colour=False) == (
        "row 1,234: 6 tokens, 2 trained (33.3%), a\\x1b.jsonl:7\n"
        "  control tokens: 2 <|user|> (id 20), 2 <|end|> (id 21, 1 trained)\n"
        "  cut to --max-length\n"
        "<|user|>Hi<|end|><|user|>⟦Hi<|end|>⟧"
    )


def test_a_rows_header_in_colour() -> None:
    """The header is bold, and the details have no colour, which belongs to the tokens."""
    row = Row(number=0, ids=[21], trained=[True])

    assert show_row(row, BYTE_LEVEL, colour=True) == (
        "\x1b[1mrow 0: 1 token, 1 trained (100.0%)\x1b[0m\n"
        "  control tokens: 1 <|end|> (id 21, 1 trained)\n"
        "\x1b[32;7m<|end|>\x1b[0m"
    )


def test_legends() -> None:
    """Each way of showing says what it means, and templates have no token boundaries."""
    assert legend(colour=False) == (
        "⟦trained⟧, the rest not; · between tokens, none inside a character; ↵ newline"
    )
    assert legend(colour=False, boundaries=False) == "⟦trained⟧, the rest not; ↵ newline"
    assert legend(colour=True) == (
        "\x1b[32mtrained\x1b[0m, \x1b[2mnot trained\x1b[0m, \x1b[2;7mcontrol token\x1b[0m, "
        "\x1b[32;7mtrained one\x1b[0m, every\x1b[4m other\x1b[0m token\x1b[4m underlined\x1b[0m, "
        "↵ newline"
    )
    assert legend(colour=True, boundaries=False) == (
        "\x1b[32mtrained\x1b[0m, \x1b[2mnot trained\x1b[0m, \x1b[2;7mcontrol token\x1b[0m, "
        "\x1b[32;7mtrained one\x1b[0m, ↵ newline"
    )


# ------------------------------------------------------------------------------------ the commands


def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    """One command, in this process; what it prints is no terminal's."""
    return CliRunner().invoke(app, list(map(str, arguments)), input=stdin, catch_exceptions=False)


LEGEND = "⟦trained⟧, the rest not; · between tokens, none inside a character; ↵ newline\n"
OX = """\
<|im_start|>user·↵·
What· is· the· plural· of· “·ox·”·?<|im_end|>↵
<|im_start|>assistant·↵
⟦O·x·en·.<|im_end|>⟧↵
"""
ASSISTANT = """\
<|im_start|>system·↵·
你是·一个·乐·于·助·人·的·中文·助·手·。<|im_end|>↵
<|im_start|>user·↵·
你·好·，·请·用一句话·介绍·一下·你能·做什么·。<|im_end|>↵
<|im_start|>assistant·↵
⟦您好·！·我可以·回答·问题·、·写·作·和·修·改·文字·、·翻译·、·解释·代码·、·整理·资·料·，·也可以·陪·您·\
一·步·步·把·一个·想·法·想·清楚·。<|im_end|>⟧↵
"""
ENTROPY = """\
<|im_start|>user·↵·
Give· me· a· one·-·line· defin·ition· of· ent·ropy· in· inform·ation· the·ory·.<|im_end|>↵
<|im_start|>assistant·↵
⟦The· ent·ropy· of· a· random· v·ar·iable· is· the· average· number· of· bits· need·ed· to· say· \
which· val·ue· it· too·k·:· H·(·X·)· =· -·Σ· p·(·x·)· log·₂· p·(·x·).<|im_end|>⟧↵
"""
CSV = """\
<|im_start|>system·↵·
You· convert· dat·a· between· form·ats·.· O·ut·put· only· a· code· blo·ck·.<|im_end|>↵
<|im_start|>user·↵·
Convert· this· to· CS·V·:·↵·
↵·
|· day· |· k·m· |·↵·
|---|---|·↵·
|· M·on· |· 5· |·↵·
|· W·ed· |· 8· |·↵·
|· Sat· |· 14· |<|im_end|>↵
<|im_start|>assistant·↵
⟦```·cs·v·↵·
day·,·km·↵·
Mon·,·5·↵·
Wed·,·8·↵·
Sat·,·14·↵·
```<|im_end|>⟧↵
<|im_start|>user·↵·
Add· a· total· row·.<|im_end|>↵
<|im_start|>assistant·↵
⟦```·cs·v·↵·
day·,·km·↵·
Mon·,·5·↵·
Wed·,·8·↵·
Sat·,·14·↵·
total·,·2·7·↵·
```<|im_end|>⟧↵
"""


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one dataset a format, each of several shards, from the same records."""
    folder = tmp_path_factory.mktemp("datasets")
    for name in ("parquet", "arrow", "jsonl"):
        recipe = Recipe(
            inputs=(str(SAMPLES / "messages.jsonl"),),
            output=str(folder / name),
            tokenizer=str(TOKENIZER),
            template="chatml",
            format=name,
            shard_size="4KB",
            workers=1,
        )
        prepare(recipe)
    return folder


@pytest.fixture
def own(datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the JSONL dataset to be damaged: ``out`` in the current folder."""
    shutil.copytree(datasets / "jsonl", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    return Path("out")


@pytest.mark.parametrize("name", ["parquet", "arrow", "jsonl"])
def test_inspect_shows_rows_across_shards(
    name: str, datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are numbered over all shards, whose formats all read the same."""
    monkeypatch.chdir(datasets)

    result = run("inspect", name, "--row", "6", "--rows", "2")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{name}: 30 rows in 5 shards, template chatml, tokenizer tokenizer\n{LEGEND}\n"
        f"row 6: 73 tokens, 47 trained (64.4%), row 6 of train-00000-of-00005.{name}\n"
        "  control tokens: 2 <|im_start|> (id 2), 2 <|im_end|> (id 3, 1 trained)\n"
        f"{ENTROPY}\n"
        f"row 7: 130 tokens, 49 trained (37.7%), row 7 of train-00000-of-00005.{name}\n"
        "  control tokens: 5 <|im_start|> (id 2), 5 <|im_end|> (id 3, 2 trained)\n"
        f"{CSV}"
    )


def test_inspect_shows_chinese_rows(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters of several tokens are whole, and words of one token are one piece."""
    monkeypatch.chdir(datasets)

    result = run("inspect", "parquet", "--row", "2")

    assert result.exit_code == 0
    assert result.stdout == (
        f"parquet: 30 rows in 5 shards, template chatml, tokenizer tokenizer\n{LEGEND}\n"
        "row 2: 72 tokens, 37 trained (51.4%), row 2 of train-00000-of-00005.parquet\n"
        "  control tokens: 3 <|im_start|> (id 2), 3 <|im_end|> (id 3, 1 trained)\n"
        f"{ASSISTANT}"
    )


def test_inspect_opens_only_the_shard_that_holds_the_row(own: Path) -> None:
    """The first row of the third shard can be seen where all other shards are gone."""
    for index in (0, 1, 3, 4):
        (own / f"train-0000{index}-of-00005.jsonl").unlink()

    text = inspect_dataset("out", row=14, rows=6, colour=False)

    assert [line.split(": ")[0] for line in text.splitlines() if line.startswith("row ")] == [
        f"row {number}" for number in range(14, 20)
    ]
    assert ", row 0 of train-00002-of-00005.jsonl\n" in text


def test_inspect_ends_with_the_dataset(own: Path) -> None:
    """More rows than there are is no error."""
    text = inspect_dataset("out", row=29, rows=5, colour=False)

    assert text.count("\nrow ") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--row", "30"], "--row 30: out has 30 rows, numbered 0 to 29. Choose one of them."),
        (["--row", "-1"], "--row -1: out has 30 rows, numbered 0 to 29. Choose one of them."),
        (["--rows", "0"], "--rows is 0; expected 1 or more."),
    ],
)
def test_inspect_of_a_row_that_is_not_there(own: Path, arguments: list[str], message: str) -> None:
    """The error says how many rows there are."""
    result = run("inspect", str(own), *arguments)

    assert (result.exit_code, result.stdout) == (UsageError.exit_code, "")
    assert result.stderr == f"error: {message}\n"


def test_inspect_of_a_folder_without_a_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without a manifest is no dataset."""
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()

    result = run("inspect", "out")

    assert result.exit_code != 0
    assert result.stderr == (
        "error: out: holds no dataset: there is no manifest.json. Check the path, or run prepare.\n"
    )


def test_inspect_refuses_a_label_that_is_not_the_id(own: Path) -> None:
    """A label that is neither the id nor the ignore index is never shown as trained."""
    shard = own / "train-00000-of-00005.jsonl"
    rows = [json.loads(line) for line in shard.read_bytes().splitlines()]
    place = rows[1]["labels"].index(rows[1]["input_ids"][-2])
    rows[1]["labels"][place] = 7
    shard.write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    with pytest.raises(DataError) as caught:
        inspect_dataset("out", row=1, rows=1, colour=False)

    assert str(caught.value) == (
        f"out/train-00000-of-00005.jsonl: row 1, token {place}: the label is 7; expected "
        f"{rows[1]['input_ids'][place]}, its id, or -100. The dataset is damaged: build it again."
    )


def test_inspect_of_a_dataset_with_a_missing_file(own: Path) -> None:
    """A shard or tokenizer that is not there is named."""
    (own / "train-00000-of-00005.jsonl").unlink()
    missing = "cannot be read: No such file or directory. The dataset is damaged: build it again."

    with pytest.raises(StorageError) as no_shard:
        inspect_dataset("out", row=0, rows=1, colour=False)
    (own / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(StorageError) as no_tokenizer:
        inspect_dataset("out", row=29, rows=1, colour=False)

    assert str(no_shard.value) == f"out/train-00000-of-00005.jsonl: {missing}"
    assert str(no_tokenizer.value) == f"out/tokenizer/tokenizer.json: {missing}"


@pytest.mark.parametrize("name", ["parquet", "arrow", "jsonl"])
def test_inspect_of_a_damaged_shard(name: str, datasets: Path, tmp_path: Path) -> None:
    """A shard that is cut off is a data error that names it."""
    shutil.copytree(datasets / name, tmp_path / "out")
    shard = tmp_path / "out" / f"train-00000-of-00005.{name}"
    shard.write_bytes(shard.read_bytes()[:-20])

    with pytest.raises(DataError) as caught:
        inspect_dataset(str(tmp_path / "out"), row=0, rows=1, colour=False)

    problem = "row 7: is not valid JSON at column " if name == "jsonl" else "cannot be read: "
    assert str(caught.value).startswith(f"{shard}: {problem}")
    assert str(caught.value).endswith(". The dataset is damaged: build it again.")


def test_inspect_of_a_shard_that_lost_rows(own: Path) -> None:
    """A shard with fewer rows than the manifest says is refused, whichever row is asked for."""
    shard = own / "train-00000-of-00005.jsonl"
    shard.write_bytes(b"".join(shard.read_bytes().splitlines(keepends=True)[:-1]))

    with pytest.raises(DataError) as caught:
        inspect_dataset("out", row=0, rows=1, colour=False)

    assert str(caught.value) == (
        "out/train-00000-of-00005.jsonl: holds 7 rows; the manifest says 8. "
        "The dataset is damaged: build it again."
    )


# ------------------------------------------------------------------------------------- the preview


def options(*arguments: str, template: str = "chatml") -> list[str]:
    """What every preview here needs, and more."""
    return ["--tokenizer", str(TOKENIZER), "--template", template, *arguments]


def test_preview_shows_the_first_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows as prepare would write them, with the line of each record; and nothing is written."""
    monkeypatch.chdir(tmp_path)

    result = run("preview", SAMPLES / "messages.jsonl", *options("--rows", "1"))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "template chatml, tokenizer tokenizer, at most 2,048 tokens a row; nothing is written\n"
        f"{LEGEND}\n"
        "row 0: 23 tokens, 5 trained (21.7%), messages.jsonl:1\n"
        "  control tokens: 2 <|im_start|> (id 2), 2 <|im_end|> (id 3, 1 trained)\n"
        f"{OX}\n"
        "1 record looked at, 1 shown\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_preview_accounts_for_the_records_on_the_way() -> None:
    """Records that give no row are counted by reason, each with its first place."""
    result = run("preview", SAMPLES / "bad.jsonl", *options("--max-length", "43"))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "template chatml, tokenizer tokenizer, at most 43 tokens a row; nothing is written\n"
        f"{LEGEND}\n"
        "row 0: 42 tokens, 16 trained (38.1%), bad.jsonl:1\n"
        "  control tokens: 2 <|im_start|> (id 2), 2 <|im_end|> (id 3, 1 trained)\n"
        "<|im_start|>user·↵·\n"
        "N·ame· a· met·al· that· is· l·i·qu·id· at· room· tem·per·ature·.<|im_end|>↵\n"
        "<|im_start|>assistant·↵\n"
        "⟦M·ercur·y·.· It· m·el·ts· at· about· -·39· °·C·.<|im_end|>⟧↵\n"
        "\n"
        "row 1: 32 tokens, 4 trained (12.5%), bad.jsonl:4\n"
        "  control tokens: 3 <|im_start|> (id 2), 3 <|im_end|> (id 3, 1 trained)\n"
        "<|im_start|>system·↵·\n"
        "回答·要·简·短·。<|im_end|>↵\n"
        "<|im_start|>user·↵·\n"
        "一个·世·纪·有·多少·年·？<|im_end|>↵\n"
        "<|im_start|>assistant·↵\n"
        "⟦一百·年·。<|im_end|>⟧↵\n"
        "\n"
        "15 records looked at, 2 shown; rejected: 1 invalid_json (bad.jsonl:2), "
        "1 not_an_object (bad.jsonl:3), 1 missing_field (bad.jsonl:5), "
        "2 wrong_type (first at bad.jsonl:6), 1 unknown_role (bad.jsonl:7), "
        "2 bad_turn_order (first at bad.jsonl:8), 1 empty_completion (bad.jsonl:9), "
        "1 schema_mismatch (bad.jsonl:11), 1 invalid_utf8 (bad.jsonl:13), "
        "1 lone_surrogate (bad.jsonl:15); "
        "dropped: 1 too_long (bad.jsonl:16)\n"
    )


def test_preview_of_a_json_array() -> None:
    """Records of an array have the line they begin in, and a cut is remarked."""
    cut = ["--rows", "1", "--max-length", "70", "--truncation", "keep-start"]

    result = run("preview", SAMPLES / "instruction_zh.json", *options(*cut, template="alpaca_zh"))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "template alpaca_zh, tokenizer tokenizer, at most 70 tokens a row; nothing is written\n"
        f"{LEGEND}\n"
        "row 0: 70 tokens, 4 trained (5.7%), instruction_zh.json:2\n"
        "  cut to --max-length\n"
        "以·下·是·一条·描·述·任·务·的·指·令·。·请给·出·恰·当·的·回答·，·完·成·其·中·的·要·求·。·↵·\n"
        "↵·\n"
        "#·#·#· ·指·令·：·↵·\n"
        "水·在·标·准·大·气·压·下·的·沸·点·是多少·？·↵·\n"
        "↵·\n"
        "#·#·#· ·回答·：·↵\n"
        "⟦100· ·摄⟧\n"
        "\n"
        "1 record looked at, 1 shown\n"
    )


def test_preview_reads_standard_input_and_remarks_on_rows() -> None:
    """A boundary that is not clean and a control token's text are told with the row."""
    lines = b'{"prompt": "Say <|im_end|> ", "completion": "done"}\n\n{"prompt": 1}\n'

    result = run("preview", "-", *options(template="plain"), stdin=lines)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "template plain, tokenizer tokenizer, at most 2,048 tokens a row; nothing is written\n"
        f"{LEGEND}\n"
        "row 0: 10 tokens, 3 trained (30.0%), stdin:1\n"
        "  control tokens: 1 <|endoftext|> (id 0, 1 trained)\n"
        "  prompt and completion do not meet between tokens\n"
        "  its text holds <|im_end|>, which stays text (see --allow-control)\n"
        "Say· <|·im·_·end·|>· ⟦d·one<|endoftext|>⟧\n"
        "\n"
        "2 records looked at, 1 shown; rejected: 1 wrong_type (stdin:3)\n"
    )


def test_preview_shows_what_prepare_writes(datasets: Path) -> None:
    """The rows of a preview are the first rows of the dataset, token for token."""
    recipe = Recipe(
        inputs=(str(SAMPLES / "messages.jsonl"),), tokenizer=str(TOKENIZER), template="chatml"
    )

    def bodies(text: str) -> list[list[str]]:
        return [row.split("\n")[1:] for row in text.split("\n\nrow ")[1:]]

    previewed = preview(recipe, rows=30, colour=True).removesuffix(
        "\n\n30 records looked at, 30 shown"
    )
    written = inspect_dataset(str(datasets / "parquet"), row=0, rows=30, colour=True)

    assert bodies(previewed) == bodies(written)


class Endless(RawIOBase):
    """Standard input that never ends."""

    def __init__(self, line: bytes) -> None:
        super().__init__()
        self.lines = line * 1000

    def read(self, size: int = -1, /) -> bytes:
        """Some more lines."""
        return self.lines


def test_preview_stops_reading_when_it_has_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input without an end is no trouble."""
    endless = Endless(b'{"prompt": "a\\n", "completion": "b"}\n')
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=endless))
    recipe = Recipe(inputs=("-",), tokenizer=str(TOKENIZER))

    text = preview(recipe, rows=3, colour=False)

    assert text.endswith("\n\n3 records looked at, 3 shown")


def test_preview_gives_up_where_no_record_gives_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a thousand records in vain it is a data error, with the reason."""
    endless = Endless(b'{"prompt": "a\\n", "completion": ""}\n')
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=endless))
    recipe = Recipe(inputs=("-",), tokenizer=str(TOKENIZER))

    with pytest.raises(DataError) as caught:
        preview(recipe, rows=3, colour=False)

    assert str(caught.value) == (
        "no row to show: 1,000 records looked at, 0 shown; rejected: 1,000 empty_completion "
        "(first at stdin:1). Fix the data, or change the options."
    )


def test_preview_of_nothing() -> None:
    """An input without a record is an error of its own, as it is for prepare."""
    result = run("preview", "-", *options(), stdin=b"\n\n")

    assert (result.exit_code, result.stdout) == (NoInputError.exit_code, "")
    assert result.stderr == "error: the input holds no records. Check the files.\n"


def test_preview_refuses_options_as_prepare_does() -> None:
    """No tokenizer, an unknown template or no rows: exit 2 before a record is read."""
    assert run("preview", "-").exit_code == UsageError.exit_code
    assert run("preview", "-", *options("--rows", "0")).stderr == (
        "error: --rows is 0; expected 1 or more.\n"
    )
    assert run("preview", "-", *options(template="alpacca")).stderr == (
        "error: no template 'alpacca', and no such file. Did you mean 'alpaca'?\n"
    )


def test_preview_takes_a_recipe(tmp_path: Path) -> None:
    """A recipe for prepare serves for a preview too, and --print-recipe shows it."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("template: chatml\noutput: out\non_error: quarantine\nmax_rejects: 1%\n")

    result = run("preview", "a.jsonl", "--recipe", recipe, "--max-length", "9", "--print-recipe")

    assert result.exit_code == 0
    assert "inputs:\n- a.jsonl\noutput: out\n" in result.stdout
    assert "template: chatml\n" in result.stdout
    assert "max_length: 9\n" in result.stdout


# --------------------------------------------------------------------------------------- templates


def test_templates_lists_all() -> None:
    """The list has a line a template, aligned, and says how to see one."""
    result = run("templates")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{list_templates()}\n"
    lines = result.stdout.splitlines()
    assert lines[0] == (
        "alpaca     Stanford Alpaca's instruction prompt, with and without an input"
    )  # fmt: skip
    assert lines[2] == "chatml     ChatML, the format of Qwen and many others"
    assert lines[-2:] == ["", "sftprep templates NAME shows one rendered; NAME may be a file."]


def test_a_chat_template_is_shown_with_two_exchanges() -> None:
    """System, user and assistant, with control tokens as they are and the trained part marked."""
    result = run("templates", "chatml")

    assert (result.exit_code, result.stderr) == (0, "")
    expected = """\
chatml: ChatML, the format of Qwen and many others
  source  Qwen2.5 and Qwen3 chat templates (without Qwen2.5's own default system prompt)
  needs   <|im_start|>, <|im_end|>
  BOS     first, where the tokenizer itself adds one (not shown below)
⟦trained⟧, the rest not; ↵ newline

<|im_start|>system↵
Answer in one sentence.<|im_end|>↵
<|im_start|>user↵
Which planet is the largest?<|im_end|>↵
<|im_start|>assistant↵
⟦Jupiter is the largest planet.<|im_end|>⟧↵
<|im_start|>user↵
And the smallest?<|im_end|>↵
<|im_start|>assistant↵
⟦Mercury is the smallest.<|im_end|>⟧↵
"""
    assert result.stdout == expected


def test_a_template_with_signs_for_the_tokenizers_own_tokens() -> None:
    """BOS and EOS are signs; the system prompt goes where the template puts it."""
    expected = """\
mistral: Mistral Instruct, v3 format with SentencePiece (Mistral-7B-Instruct-v0.3)
  source  mistralai/Mistral-7B-Instruct-v0.3, chat template; mistral-common, InstructTokenizerV3
  needs   [INST], [/INST], the tokenizer's ‹bos› and ‹eos›
  BOS     always first
⟦trained⟧, the rest not; ↵ newline

‹bos›[INST] Which planet is the largest?[/INST]⟦ Jupiter is the largest planet.‹eos›⟧[INST] \
Answer in one sentence.↵
↵
And the smallest?[/INST]⟦ Mercury is the smallest.‹eos›⟧"""
    assert describe_template("mistral", colour=False) == expected


def test_a_template_with_a_separator() -> None:
    """The separator's place is marked; one exchange shows an instruction format."""
    expected = """\
plain: the prompt, the separator (none unless given), the completion, EOS
  source     sftprep
  needs      the tokenizer's ‹eos›
  BOS        first, where the tokenizer itself adds one (not shown below)
  separator  ‹separator›: nothing, unless given
⟦trained⟧, the rest not; ↵ newline

Which planet is the largest?‹separator›⟦Jupiter is the largest planet.‹eos›⟧"""
    assert describe_template("plain", colour=False) == expected


def test_a_template_with_an_input_is_shown_both_ways() -> None:
    """A Chinese template has a Chinese example, with its own preamble for each way."""
    expected = """\
alpaca_zh: an instruction prompt in Chinese, built like alpaca, with and without an input
  source  sftprep
  needs   the tokenizer's ‹eos›
  BOS     first, where the tokenizer itself adds one (not shown below)
⟦trained⟧, the rest not; ↵ newline

以下是一条描述任务的指令。请给出恰当的回答，完成其中的要求。↵
↵
### 指令：↵
最大的行星是哪一颗？↵
↵
### 回答：↵
⟦木星是最大的行星。‹eos›⟧

where a record has an input:

以下是一条描述任务的指令，并附有提供背景信息的输入。请给出恰当的回答，完成其中的要求。↵
↵
### 指令：↵
翻译成英文。↵
↵
### 输入：↵
早上好！↵
↵
### 回答：↵
⟦Good morning!‹eos›⟧"""
    assert describe_template("alpaca_zh", colour=False) == expected


def test_a_template_in_colour() -> None:
    """Tokens and signs are set off by reverse video, and no token boundary is pretended."""
    last = describe_template("roles", colour=True).split("\n\n")[1]

    assert last.replace("\x1b[0m", "{}").replace("\x1b[", "{") == (
        "{2;7m<|SYSTEM|>{}{2mAnswer in one sentence.{}"
        "{2;7m<|USER|>{}{2mWhich planet is the largest?{}"
        "{2;7m<|ASSISTANT|>{}{32mJupiter is the largest planet.{}{32;7m‹eos›{}"
        "{2;7m<|USER|>{}{2mAnd the smallest?{}"
        "{2;7m<|ASSISTANT|>{}{32mMercury is the smallest.{}{32;7m‹eos›{}"
    )


def test_a_users_own_template(tmp_path: Path) -> None:
    """A file is shown as a built-in template is; what a terminal would act on is an escape."""
    own = tmp_path / "tickets.yaml"
    own.write_text(
        'description: "tickets\\e[2J"\n'
        "bos: never\n"
        'tokens: ["<|q|>"]\n'
        'user: "<|q|>{content}\\n"\n'
        "assistant:\n"
        '  body: "{content}{eos}"\n',
        "utf-8",
    )

    result = run("templates", own)

    assert (result.exit_code, result.stderr) == (0, "")
    expected = """\
tickets: tickets\\x1b[2J
  needs  <|q|>, the tokenizer's ‹eos›
  BOS    none
⟦trained⟧, the rest not; ↵ newline

<|q|>Which planet is the largest?↵
⟦Jupiter is the largest planet.‹eos›⟧<|q|>And the smallest?↵
⟦Mercury is the smallest.‹eos›⟧
"""
    assert result.stdout == expected


def test_an_unknown_template() -> None:
    """A name that is none, and no file, is an error with the closest name."""
    result = run("templates", "chatlm")

    assert (result.exit_code, result.stdout) == (TemplateError.exit_code, "")
    assert result.stderr == (
        "error: no template 'chatlm', and no such file. Did you mean 'chatml'?\n"
    )


def on_a_terminal(arguments: list[str], **environment: str) -> str:
    """What a command writes where its output is a terminal."""
    ours, theirs = pty.openpty()
    known = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    command = [sys.executable, "-m", "sftprep", *arguments]
    with subprocess.Popen(command, stdout=theirs, env={**known, **environment}) as process:
        os.close(theirs)
        text = BytesIO()
        try:
            while data := os.read(ours, 4096):
                text.write(data)
        except OSError:  # how Linux says that the other side was closed
            pass
        os.close(ours)
    assert process.returncode == 0
    return text.getvalue().decode().replace("\r\n", "\n")


def test_colour_is_for_terminals_only() -> None:
    """A terminal gets colour, unless NO_COLOR is set; a pipe gets plain marks."""
    piped = run("templates", "qa").stdout

    assert on_a_terminal(["templates", "qa"]) == f"{describe_template('qa', colour=True)}\n"
    assert on_a_terminal(["templates", "qa"], NO_COLOR="1") == piped
    assert "\x1b" not in piped
