"""inspect: rows of a finished dataset are shown as they were written."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toys import byte_hf, recipe, save_folder, write_jsonl
from views.commands import LEGEND, run

from sftprep import prepare
from sftprep.errors import DataError, NoInputError, StorageError, UsageError
from sftprep.views.choice import Choice
from sftprep.views.inspect import inspect_dataset
from sftprep.views.token_text import Look

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


@pytest.fixture
def own(datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the JSONL dataset, to be damaged: ``out`` in the current folder."""
    shutil.copytree(datasets / "jsonl", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    return Path("out")


@pytest.mark.parametrize("name", ["parquet", "arrow", "jsonl"])
def test_rows_are_numbered_over_all_shards(
    name: str, datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is found by its number over all shards, and is shown the same in each format."""
    monkeypatch.chdir(datasets)

    result = run("inspect", name, "--row", "6", "--rows", "2")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{name}: 30 rows in 5 shards, template chatml, tokenizer tokenizer\n{LEGEND}\n"
        "row 6: 73 tokens, 47 trained (64.4%), messages.jsonl:7, row 6 "
        f"of data/train-00000-of-00005.{name}\n"
        "  control tokens: 2 <|im_start|> (id 2), 2 <|im_end|> (id 3, 1 trained)\n"
        f"{ENTROPY}\n"
        "row 7: 130 tokens, 49 trained (37.7%), messages.jsonl:8, row 7 "
        f"of data/train-00000-of-00005.{name}\n"
        "  control tokens: 5 <|im_start|> (id 2), 5 <|im_end|> (id 3, 2 trained)\n"
        f"{CSV}"
    )


def test_chinese_rows_are_readable(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A character of several tokens is shown whole, and a word of one token in one piece."""
    monkeypatch.chdir(datasets)

    result = run("inspect", "parquet", "--row", "2")

    assert result.exit_code == 0
    assert result.stdout == (
        f"parquet: 30 rows in 5 shards, template chatml, tokenizer tokenizer\n{LEGEND}\n"
        "row 2: 72 tokens, 37 trained (51.4%), messages.jsonl:3, row 2 "
        "of data/train-00000-of-00005.parquet\n"
        "  control tokens: 3 <|im_start|> (id 2), 3 <|im_end|> (id 3, 1 trained)\n"
        f"{ASSISTANT}"
    )


def test_only_the_shard_that_holds_the_row_is_opened(own: Path) -> None:
    """The rows of the third shard can be shown even if all other shards are gone."""
    for index in (0, 1, 3, 4):
        (own / "data" / f"train-0000{index}-of-00005.jsonl").unlink()

    text = inspect_dataset("out", Choice(6), Look(), row=14)

    assert [line.split(": ")[0] for line in text.splitlines() if line.startswith("row ")] == [
        f"row {number}" for number in range(14, 20)
    ]
    assert ", row 0 of data/train-00002-of-00005.jsonl\n" in text


def test_rows_after_the_end_are_left_out(own: Path) -> None:
    """Asking for more rows than there are shows those that there are."""
    text = inspect_dataset("out", Choice(5), Look(), row=29)

    assert text.count("\nrow ") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--row", "30"], "--row 30: out has 30 rows, numbered 0 to 29. Choose one of them."),
        (["--row", "-1"], "--row -1: out has 30 rows, numbered 0 to 29. Choose one of them."),
        (["--rows", "0"], "--rows is 0; expected 1 or more."),
    ],
)
def test_a_row_that_does_not_exist_is_refused(
    own: Path, arguments: list[str], message: str
) -> None:
    """The error says how many rows the dataset has, and how they are numbered."""
    result = run("inspect", str(own), *arguments)

    assert (result.exit_code, result.stdout) == (UsageError.exit_code, "")
    assert result.stderr == f"error: {message}\n"


def test_a_folder_without_a_dataset_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without a manifest is not a dataset: exit code 66."""
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()

    result = run("inspect", "out")

    assert result.exit_code == NoInputError.exit_code
    assert result.stderr == (
        "error: out: holds no dataset: there is no manifest.json. Check the path, or run prepare.\n"
    )


def test_a_label_that_is_not_the_id_is_refused(own: Path) -> None:
    """A label that is neither the id nor the ignore index is an error, not a trained token."""
    shard = own / "data" / "train-00000-of-00005.jsonl"
    rows = [json.loads(line) for line in shard.read_bytes().splitlines()]
    place = rows[1]["labels"].index(rows[1]["input_ids"][-2])
    rows[1]["labels"][place] = 7
    shard.write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    with pytest.raises(DataError) as caught:
        inspect_dataset("out", Choice(1), Look(), row=1)

    assert str(caught.value) == (
        f"out/data/train-00000-of-00005.jsonl: row 1, token {place}: the label is 7; expected "
        f"{rows[1]['input_ids'][place]}, its id, or -100. The dataset is damaged: build it again."
    )


def test_a_missing_file_is_named(own: Path) -> None:
    """A shard or a tokenizer that does not exist is an error with its path."""
    (own / "data" / "train-00000-of-00005.jsonl").unlink()
    missing = "cannot be read: No such file or directory. The dataset is damaged: build it again."

    with pytest.raises(StorageError) as no_shard:
        inspect_dataset("out", Choice(1), Look(), row=0)
    (own / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(StorageError) as no_tokenizer:
        inspect_dataset("out", Choice(1), Look(), row=29)

    assert str(no_shard.value) == f"out/data/train-00000-of-00005.jsonl: {missing}"
    assert str(no_tokenizer.value) == f"out/tokenizer/tokenizer.json: {missing}"


@pytest.mark.parametrize("name", ["parquet", "arrow", "jsonl"])
def test_a_damaged_shard_is_named(name: str, datasets: Path, tmp_path: Path) -> None:
    """A shard whose end is missing is a data error with its path."""
    shutil.copytree(datasets / name, tmp_path / "out")
    shard = tmp_path / "out" / "data" / f"train-00000-of-00005.{name}"
    shard.write_bytes(shard.read_bytes()[:-20])

    with pytest.raises(DataError) as caught:
        inspect_dataset(str(tmp_path / "out"), Choice(1), Look(), row=0)

    problem = "row 7: is not valid JSON at column " if name == "jsonl" else "cannot be read: "
    assert str(caught.value).startswith(f"{shard}: {problem}")
    assert str(caught.value).endswith(". The dataset is damaged: build it again.")


def test_a_shard_that_lost_rows_is_refused(own: Path) -> None:
    """A shard with fewer rows than the manifest says is refused, even if the row exists."""
    shard = own / "data" / "train-00000-of-00005.jsonl"
    shard.write_bytes(b"".join(shard.read_bytes().splitlines(keepends=True)[:-1]))

    with pytest.raises(DataError) as caught:
        inspect_dataset("out", Choice(1), Look(), row=0)

    assert str(caught.value) == (
        "out/data/train-00000-of-00005.jsonl: holds 7 rows; the manifest says 8. "
        "The dataset is damaged: build it again."
    )


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of one padded pack: ``packed`` in the current folder."""
    monkeypatch.chdir(tmp_path)
    tokenizer = save_folder(
        byte_hf(["</s>", "<pad>"]), tmp_path / "toy", eos_token="</s>", pad_token="<pad>"
    )
    records = [{"prompt": text, "completion": "b"} for text in ("x\n", "yy\n")]
    source = write_jsonl(tmp_path / "a.jsonl", records)
    prepare(
        recipe(source, Path("packed"), tokenizer, pack=True, pad="max-length", max_length=16,
               pad_side="left")
    )  # fmt: skip
    return Path("packed")


@pytest.mark.usefixtures("packed")
def test_documents_of_a_pack() -> None:
    """Each document of a pack is shown under its place in the input; padding is only counted."""
    assert inspect_dataset("packed", Choice(1), Look(), row=0) == (
        "packed: 1 row in 1 shard, template plain, tokenizer toy\n"
        f"{LEGEND}\n"
        "row 0: 16 tokens, 4 trained (25.0%), 2 documents\n"
        "  control tokens: 7 <pad> (id 257), 2 </s> (id 256, 2 trained)\n"
        "7 tokens of padding\n"
        "document 1 of 2, a.jsonl:1\n"
        "x·↵\n"
        "⟦b</s>⟧\n"
        "document 2 of 2, a.jsonl:2\n"
        "y·y·↵\n"
        "⟦b</s>⟧"
    )


def test_headings_in_colour(packed: Path) -> None:
    """The places of documents are in bold type, as the headings of rows are."""
    text = inspect_dataset(str(packed), Choice(1), Look(colour=True), row=0)
    assert "\n\x1b[1mdocument 2 of 2, a.jsonl:2\x1b[0m\n" in text


def test_an_index_that_contradicts_the_row_is_named(packed: Path) -> None:
    """Documents that overlap, or that are missing, are an error with the path of the index."""
    path = packed / "index" / "train-00000-of-00001.parquet"
    table = pq.read_table(path)
    for name, values in (("position", pa.array([0, 1], pa.int32())), ("row", pa.array([1, 1]))):
        place = table.schema.get_field_index(name)
        pq.write_table(table.set_column(place, table.schema.field(place), values), path)
        with pytest.raises(DataError) as caught:
            inspect_dataset("packed", Choice(1), Look(), row=0)
        assert str(caught.value) == (
            f"{path}: contradicts row 0 of data/train-00000-of-00001.parquet. The dataset is "
            "damaged: build it again."
        )


def test_a_damaged_index_is_named(own: Path) -> None:
    """An index that cannot be read, or names an input that there is not, is a data error."""
    path = own / "index" / "train-00000-of-00005.parquet"
    table = pq.read_table(path)
    source = pa.array([5] * len(table), pa.int32())
    place = table.schema.get_field_index("source")
    pq.write_table(table.set_column(place, table.schema.field(place), source), path)

    with pytest.raises(DataError) as other:
        inspect_dataset("out", Choice(1), Look(), row=1)
    path.write_bytes(b"no index")
    with pytest.raises(DataError) as unreadable:
        inspect_dataset("out", Choice(1), Look(), row=1)

    assert str(other.value) == (
        "out/index/train-00000-of-00005.parquet: row 1: the source is 5; the manifest lists 1 "
        "input. The dataset is damaged: build it again."
    )
    assert str(unreadable.value).startswith(
        "out/index/train-00000-of-00005.parquet: cannot be read: "
    )


# --- rows that are chosen -------------------------------------------------------------------------


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset with a row that was cut, an empty answer and a row that was dropped: ``cut``."""
    monkeypatch.chdir(tmp_path)
    tokenizer = save_folder(byte_hf(["</s>"]), tmp_path / "toy", eos_token="</s>")
    records = [
        {"prompt": "Name one: ", "completion": "red · blue"},
        {"prompt": "Long: ", "completion": "abcdefghijklmnop"},
        {"prompt": "a prompt that is longer than a row", "completion": "x"},
    ]
    source = write_jsonl(tmp_path / "in.jsonl", records)
    options: dict[str, Any] = {"template": "plain", "max_length": 21, "truncation": "keep-start"}
    prepare(recipe(source, tmp_path / "cut", tokenizer, **options))
    return Path("cut")


HEAD = f"cut: 2 rows in 1 shard, template plain, tokenizer toy\n{LEGEND}\n"
FIRST = """\
row 0: 21 tokens, 11 trained (52.4%), in.jsonl:1
  cut to --max-length at its end: 1 token, 1 of them trained
N·a·m·e· ·o·n·e·:· ⟦r·e·d· ·\\u00b7· ·b·l·u·e⟧
[cut: 1 token, 1 trained]
"""
WHY = """\
ids: 78 97 109 101 32 111 110 101 58 32 ⟦114 101 100 32 194 183 32 98 108 117 101⟧
  0-9    masked   content of messages[0] (user)       not an answer, and --train-on is completion
  10-20  trained  content of messages[1] (assistant)  --train-on completion
"""


@pytest.mark.parametrize(
    ("options", "code", "out", "err"),
    [
        (["--why", "--ids"], 0, f"{HEAD}{FIRST}{WHY}", ""),
        (["--grep", "·"], 0, f"{HEAD}{FIRST}", ""),
        (["--line", "in.jsonl:1"], 0, f"{HEAD}{FIRST}", ""),
        (
            ["--dropped", "--rows", "9"],
            0,
            "cut: 1 record without a row, 1 shown\nin.jsonl:3: cut_to_nothing, 36 tokens\n",
            "",
        ),
        (
            ["--dropped", "--reason", "too_long"],
            0,
            "cut: 1 record without a row, 0 shown\n",
            "",
        ),
        (
            ["--grep", "green"],
            2,
            "",
            "error: no row is chosen by --grep green, of 2 rows. Choose others.\n",
        ),
        (
            ["--row", "1", "--cut"],
            2,
            "",
            "error: --row chooses by number, and --cut otherwise. Choose one of them.\n",
        ),
    ],
    ids=str,
)
def test_choices(cut: Path, options: list[str], code: int, out: str, err: str) -> None:
    """The whole output for each way of choosing rows. A mark in the text is shown as its escape."""
    result = run("inspect", cut, *options)
    assert (result.exit_code, result.stdout, result.stderr) == (code, out, err)


def test_json(cut: Path) -> None:
    """``--json`` has the ids, and the text and the reason of each run of tokens."""
    (row,) = json.loads(run("inspect", cut, "--json").stdout)["rows"]
    assert bytes(row["input_ids"]).decode() == "Name one: red · blue"
    assert row["trained"] == [False] * 10 + [True] * 11
    assert row["runs"][1] == {
        "start": 10,
        "stop": 21,
        "writer": "content of messages[1] (assistant)",
        "trained": True,
        "why": "--train-on completion",
        "text": "red · blue",
    }


def test_a_document_of_a_pack_is_chosen(packed: Path) -> None:
    """A choice shows a document alone, and says which one of its pack it is."""
    whole = json.loads(run("inspect", packed, "--json").stdout)["rows"][0]
    place = whole["documents"][1]["place"].partition(", ")[2]
    (row,) = json.loads(run("inspect", packed, "--line", place, "--json").stdout)["rows"]
    start, stop = whole["documents"][1]["start"], whole["documents"][1]["stop"]
    count = len(whole["documents"])
    assert row["place"] == f"{place}, document 2 of {count} of the row"
    assert row["input_ids"] == whole["input_ids"][start:stop]
    assert [run["text"] for run in row["runs"]] == [
        run["text"] for run in whole["runs"] if start <= run["start"] < stop
    ]
