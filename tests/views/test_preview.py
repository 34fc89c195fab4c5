"""preview: the rows that ``prepare`` would write are shown, and nothing is written."""

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import RawIOBase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER, Started, recipe, write_jsonl
from views.commands import LEGEND, run

from sftprep import Recipe, prepare
from sftprep.errors import DataError, NoInputError, UsageError
from sftprep.views.choice import Choice
from sftprep.views.inspect import inspect_dataset
from sftprep.views.preview import preview
from sftprep.views.token_text import Look

OX = """\
<|im_start|>user·↵·
What· is· the· plural· of· “·ox·”·?<|im_end|>↵
<|im_start|>assistant·↵
⟦O·x·en·.<|im_end|>⟧↵
"""


def options(*arguments: str, template: str = "chatml") -> list[str]:
    """Return the options that every preview here needs, and more."""
    return ["--tokenizer", str(SAMPLE_TOKENIZER), "--template", template, *arguments]


def test_the_first_rows_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A preview shows each row with the line of its record, and writes no file."""
    monkeypatch.chdir(tmp_path)

    result = run("preview", SAMPLE_DATA / "messages.jsonl", *options("--rows", "1"))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "template chatml, tokenizer tokenizer, at most 2,048 tokens per row; nothing is written\n"
        f"{LEGEND}\n"
        "row 0: 23 tokens, 5 trained (21.7%), messages.jsonl:1\n"
        "  control tokens: 2 <|im_start|> (id 2), 2 <|im_end|> (id 3, 1 trained)\n"
        f"{OX}\n"
        "1 record read, 1 row shown\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_records_without_a_row_are_counted_by_reason() -> None:
    """A preview ends with the number of records per reason, and the place of the first."""
    result = run("preview", SAMPLE_DATA / "bad.jsonl", *options("--max-length", "43"))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "template chatml, tokenizer tokenizer, at most 43 tokens per row; nothing is written\n"
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
        "15 records read, 2 rows shown; rejected: 1 invalid_json (bad.jsonl:2), "
        "1 not_an_object (bad.jsonl:3), 1 missing_field (bad.jsonl:5), "
        "2 wrong_type (first at bad.jsonl:6), 1 unsupported_tools (bad.jsonl:7), "
        "2 bad_turn_order (first at bad.jsonl:8), 1 empty_completion (bad.jsonl:9), "
        "1 schema_mismatch (bad.jsonl:11), 1 invalid_utf8 (bad.jsonl:13), "
        "1 lone_surrogate (bad.jsonl:15); "
        "dropped: 1 too_long (bad.jsonl:16)\n"
    )


def test_records_of_a_json_array_are_shown_with_their_line() -> None:
    """A record of a JSON array has the line where it begins; a cut row says that it was cut."""
    cut = ["--rows", "1", "--max-length", "70", "--truncation", "keep-start"]

    result = run(
        "preview", SAMPLE_DATA / "instruction_zh.json", *options(*cut, template="alpaca_zh")
    )

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "template alpaca_zh, tokenizer tokenizer, at most 70 tokens per row; nothing is written\n"
        f"{LEGEND}\n"
        "row 0: 70 tokens, 4 trained (5.7%), instruction_zh.json:2\n"
        "  cut to --max-length\n"
        "  the cut removed trained tokens\n"
        "以·下·是·一条·描·述·任·务·的·指·令·。·请给·出·恰·当·的·回答·，·完·成·其·中·的·要·求·。·↵·\n"
        "↵·\n"
        "#·#·#· ·指·令·：·↵·\n"
        "水·在·标·准·大·气·压·下·的·沸·点·是多少·？·↵·\n"
        "↵·\n"
        "#·#·#· ·回答·：·↵\n"
        "⟦100· ·摄⟧\n"
        "[cut: 5 tokens, 5 trained]\n"
        "\n"
        "1 record read, 1 row shown\n"
    )


def test_a_row_says_what_of_its_record_is_not_read_or_left_out() -> None:
    """Fields without a meaning, and the turns that --on-no-answer cut leaves out."""
    lines = (
        b'{"prompt": "a", "completion": "b", "id": 1, "note": "x"}\n'
        b'{"prompt": "a", "completion": "b"}\n'
    )
    result = run("preview", "-", *options(template="plain"), stdin=lines)
    assert result.stdout.count("  not read in this record: id, note\n") == 1

    ends_with_question = (
        b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},'
        b' {"role": "user", "content": "c"}]}\n'
    )
    cut = options("--on-no-answer", "cut", template="chatml")
    result = run("preview", "-", *cut, stdin=ends_with_question)
    assert "  left out of this record: turns after the last answer\n" in result.stdout


def test_a_row_says_what_is_remarkable_about_it() -> None:
    """An unclean boundary and the text of a control token are remarked; standard input works."""
    lines = b'{"prompt": "Say <|im_end|> ", "completion": "done"}\n\n{"prompt": 1}\n'

    result = run("preview", "-", *options(template="plain"), stdin=lines)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "template plain, tokenizer tokenizer, at most 2,048 tokens per row; nothing is written\n"
        f"{LEGEND}\n"
        "row 0: 10 tokens, 3 trained (30.0%), stdin:1\n"
        "  control tokens: 1 <|endoftext|> (id 0, 1 trained)\n"
        "  prompt and completion do not meet at a token boundary\n"
        "  its text holds <|im_end|>, which stays text (see --allow-control)\n"
        "Say· <|·im·_·end·|>· ⟦d·one<|endoftext|>⟧\n"
        "\n"
        "2 records read, 1 row shown; rejected: 1 wrong_type (stdin:3)\n"
    )


def test_a_preview_shows_what_prepare_writes(datasets: Path) -> None:
    """The rows of a preview are the rows of the dataset, token for token."""
    chosen = Recipe(
        inputs=(str(SAMPLE_DATA / "messages.jsonl"),),
        tokenizer=str(SAMPLE_TOKENIZER),
        template="chatml",
    )

    def bodies(text: str) -> list[list[str]]:
        return [row.split("\n")[1:] for row in text.split("\n\nrow ")[1:]]

    previewed = preview(chosen, Choice(30), Look(colour=True)).removesuffix(
        "\n\n30 records read, 30 rows shown"
    )
    written = inspect_dataset(str(datasets / "parquet"), Choice(30), Look(colour=True), row=0)

    assert bodies(previewed) == bodies(written)


TWO_ANSWERS = {
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Oh"},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "See you"},
    ]
}


def test_each_row_of_a_record_is_shown_apart(tmp_path: Path) -> None:
    """With per_turn, a record may give several rows; a preview shows no more than asked for."""
    source = write_jsonl(tmp_path / "chats.jsonl", [TWO_ANSWERS] * 2)
    chosen = recipe(source, tmp_path / "out", template="chatml", per_turn=True)
    prepare(chosen)
    written = inspect_dataset(str(tmp_path / "out"), Choice(3), Look(), row=0)

    previewed = preview(chosen, Choice(3), Look())

    def headings(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith("row ")]

    first, second, third = headings(previewed)
    assert headings(written) == [first, f"{second}, example 2", third]
    assert [line.split(", ")[-1] for line in (first, second, third)] == [
        "chats.jsonl:1", "chats.jsonl:1", "chats.jsonl:2"
    ]  # fmt: skip
    assert previewed.endswith("\n\n2 records read, 3 rows shown")


def test_a_remark_says_how_many_rows_of_a_record_it_holds_for(tmp_path: Path) -> None:
    """If one of a record's two rows was cut, both rows say so."""
    source = write_jsonl(tmp_path / "chats.jsonl", [TWO_ANSWERS])
    options: dict[str, Any] = {"per_turn": True, "max_length": 18, "truncation": "keep-end"}
    chosen = recipe(source, tmp_path / "out", template="chatml", **options)

    previewed = preview(chosen, Choice(2), Look())

    assert previewed.count("\n  1 of this record's 2 rows: cut to --max-length\n") == 2


JINJA = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def chat_recipe(folder: Path, template: str, records: list[Any]) -> Recipe:
    """Write a Jinja template and its records; return the recipe for them."""
    (folder / "own.jinja").write_text(template)
    source = write_jsonl(folder / "chats.jsonl", records)
    return Recipe(
        inputs=(str(source),), tokenizer=str(SAMPLE_TOKENIZER), template=str(folder / "own.jinja")
    )


def test_a_chat_template_is_rendered_in_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: Started
) -> None:
    """The rows are those of the built-in template of the same form, each with its own record."""
    broken: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    chosen = chat_recipe(tmp_path, JINJA, [TWO_ANSWERS, broken, TWO_ANSWERS])
    built_in = preview(replace(chosen, template="chatml"), Choice(5), Look())
    assert len(started) == 0

    monkeypatch.setattr("sftprep.views.preview.Pipeline", None)
    previewed = preview(chosen, Choice(5), Look())

    assert previewed == built_in.replace("template chatml", "template own.jinja")
    assert "chats.jsonl:3\n" in previewed
    assert len(started) == 1


DOUBLED = (
    "{% set n = namespace(t='x') %}{% for i in range(31) %}{% set n.t = n.t ~ n.t %}{% endfor %}"
)


@pytest.mark.conformance  # fills some GB of memory
def test_a_template_cannot_take_all_memory(tmp_path: Path) -> None:
    """A preview has the limits of a run: the record is refused, the next one is shown."""
    fills = "{% if messages[0].content == 'Hi' %}" + DOUBLED + "{% endif %}" + JINJA
    other = {"messages": [{**message, "content": "a"} for message in TWO_ANSWERS["messages"]]}
    chosen = chat_recipe(tmp_path, fills, [TWO_ANSWERS, other])

    assert "2 records read, 1 row shown" in preview(chosen, Choice(1), Look())
    with pytest.raises(DataError) as caught:
        preview(chat_recipe(tmp_path, fills, [TWO_ANSWERS]), Choice(1), Look())

    assert str(caught.value) == (
        "no row to show: 1 record read, 0 rows shown; rejected: 1 template_limit (chats.jsonl:1). "
        "The first bad record is chats.jsonl:1: chat template own.jinja asks for too much memory "
        "for the record. Fix the data, or change the options."
    )


@pytest.mark.conformance  # takes 15 seconds
def test_a_template_that_never_ends_is_tried_three_times(tmp_path: Path) -> None:
    """The preview ends by itself, after three records, in any thread."""
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    chosen = chat_recipe(tmp_path, endless, [TWO_ANSWERS] * 20)
    with ThreadPoolExecutor(1) as threads:
        error = threads.submit(preview, chosen, Choice(1), Look()).exception()
    assert str(error) == (
        "no row to show: 3 records read, 0 rows shown; rejected: 3 template_too_slow (first at "
        "chats.jsonl:1). The first bad record is chats.jsonl:1: chat template own.jinja needs more "
        "than 5 seconds of CPU time for the record. Fix the data, or change the options."
    )


class Endless(RawIOBase):
    """Standard input that never ends."""

    def __init__(self, line: bytes) -> None:
        super().__init__()
        self.lines = line * 1000

    def read(self, size: int = -1, /) -> bytes:
        """Return some more lines."""
        return self.lines


def test_an_endless_input_can_be_previewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preview stops reading as soon as it has its rows."""
    endless = Endless(b'{"prompt": "a\\n", "completion": "b"}\n')
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=endless))
    chosen = Recipe(inputs=("-",), tokenizer=str(SAMPLE_TOKENIZER))

    text = preview(chosen, Choice(3), Look())

    assert text.endswith("\n\n3 records read, 3 rows shown")


def test_a_preview_ends_where_no_record_gives_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 1,000 records without a row, a preview is a data error with the reasons."""
    endless = Endless(b'{"prompt": "a\\n", "completion": ""}\n')
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=endless))
    chosen = Recipe(inputs=("-",), tokenizer=str(SAMPLE_TOKENIZER))

    with pytest.raises(DataError) as caught:
        preview(chosen, Choice(3), Look())

    assert str(caught.value) == (
        "no row to show: 1,000 records read, 0 rows shown; rejected: 1,000 empty_completion "
        "(first at stdin:1). The first bad record is stdin:1: completion is empty: there is "
        "nothing to train on. Fix the data, or change the options."
    )


def test_an_input_without_records_is_refused() -> None:
    """An input of blank lines ends with exit code 66, as it does for prepare."""
    result = run("preview", "-", *options(), stdin=b"\n\n")

    assert (result.exit_code, result.stdout) == (NoInputError.exit_code, "")
    assert result.stderr == "error: the input holds no records. Check the files.\n"


def test_options_are_refused_as_prepare_refuses_them() -> None:
    """Without a tokenizer, with an unknown template or with no rows: exit code 2."""
    assert run("preview", "-").exit_code == UsageError.exit_code
    assert run("preview", "-", *options("--rows", "0")).stderr == (
        "error: --rows is 0; expected 1 or more.\n"
    )
    assert run("preview", "-", *options(template="alpacca")).stderr == (
        "error: no template 'alpacca', and no such file. Did you mean 'alpaca'?\n"
    )


def test_a_recipe_for_prepare_can_be_previewed(tmp_path: Path) -> None:
    """Options that only prepare uses are accepted in a recipe file; --print-recipe shows them."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("template: chatml\noutput: out\non_error: quarantine\nmax_rejects: 1%\n")

    result = run("preview", "a.jsonl", "--recipe", recipe, "--max-length", "9", "--print-recipe")

    assert result.exit_code == 0
    assert "inputs:\n- a.jsonl\noutput: out\n" in result.stdout
    assert "template: chatml\n" in result.stdout
    assert "max_length: 9\n" in result.stdout


@pytest.mark.parametrize(
    ("body", "named", "remark"),
    [
        ("{content}", None, "2 answers end without a trained stop token"),
        ("{content}{eos}", None, None),
        ("{content}{eos}", 2, "2 answers end without a trained stop token, but with <|endoftext|>"),
    ],
)
def test_answers_without_a_stop(
    tmp_path: Path, body: str, named: int | None, remark: str | None
) -> None:
    """A row says if its answers do not teach the model where to stop."""
    folder = tmp_path / "tokenizer"
    shutil.copytree(SAMPLE_TOKENIZER, folder)
    if named is not None:
        (folder / "generation_config.json").write_text(f'{{"eos_token_id": {named}}}')
    template = tmp_path / "own.yaml"
    template.write_text(f"user: '{{content}}'\nassistant: {{body: '{body}'}}")
    turns = [{"role": role, "content": "x"} for role in ("user", "assistant") * 2]
    source = write_jsonl(tmp_path / "a.jsonl", [{"messages": turns}])
    made = recipe(source, tmp_path / "out", folder, template=str(template))
    lines = preview(made, Choice(1), Look()).splitlines()
    assert [x.strip() for x in lines if "stop token" in x] == ([] if remark is None else [remark])


def test_remarks_on_the_template(tmp_path: Path) -> None:
    """A row says if its template writes what only looks like a token, or glues an answer."""
    template = tmp_path / "own.yaml"
    template.write_text("user: '<|x|>{content}'\nassistant: {body: '{content}{eos}'}")
    source = write_jsonl(tmp_path / "a.jsonl", [{"prompt": "a", "completion": "b"}])
    made = recipe(source, tmp_path / "out", template=str(template), plain_text=["<|x|>"])
    lines = preview(made, Choice(1), Look()).splitlines()
    assert "  an answer follows its prompt without a space or a line break" in lines
    folder = tmp_path / "tokenizer"
    shutil.copytree(SAMPLE_TOKENIZER, folder)
    turns = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    (folder / "chat_template.jinja").write_text(f"<|x|>{turns}")
    made = recipe(source, tmp_path / "out", folder, template="tokenizer")
    lines = preview(made, Choice(1), Look()).splitlines()
    assert "  the template writes <|x|>, which is no token (see --plain-text)" in lines


# --- rows that are chosen -------------------------------------------------------------------------


def chosen_places(*more: str) -> list[str]:
    """The places of the rows that ``preview`` shows with some options."""
    result = run(
        "preview", SAMPLE_DATA / "messages.jsonl", *options(*more, "--json", template="chatml")
    )
    assert (result.exit_code, result.stderr) == (0, "")
    return [
        row["place"].removeprefix("messages.jsonl:") for row in json.loads(result.stdout)["rows"]
    ]


def test_rows_are_chosen_as_in_a_finished_dataset(datasets: Path) -> None:
    """``preview`` and ``inspect`` choose the same rows with the same options."""
    for choice in (
        ["--longest", "--rows", "4"], ["--shortest", "--rows", "3"],
        ["--grep", "the", "--rows", "5"], ["--line", "messages.jsonl:7"], ["--rows", "6"],
    ):  # fmt: skip
        result = run("inspect", datasets / "jsonl", *choice, "--json")
        rows = json.loads(result.stdout)["rows"]
        places = [row["place"].partition(",")[0].rpartition(":")[2] for row in rows]
        assert places == chosen_places(*choice)


def test_chosen_rows_say_from_how_many() -> None:
    """The last line says how the rows were chosen; ``--why`` says why tokens are masked."""
    result = run(
        "preview",
        SAMPLE_DATA / "messages.jsonl",
        *options("--shortest", "--rows", "1", "--why", template="chatml"),
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith(
        "⟦O·x·en·.<|im_end|>⟧↵\n"
        "  0-2    masked   template of messages[0] (user)       the template writes it, not the "
        "model\n"
        "  3-11   masked   content of messages[0] (user)        not an answer, and --train-on is "
        "completion\n"
        "  12-13  masked   template of messages[0] (user)       the template writes it, not the "
        "model\n"
        "  14-16  masked   template of messages[1] (assistant)  the template writes it, not the "
        "model\n"
        "  17-20  trained  content of messages[1] (assistant)   --train-on completion\n"
        "  21     trained  stop of messages[1] (assistant)      ends a trained text, and stops the "
        "model\n"
        "  22     masked   template of messages[1] (assistant)  the template writes it, not the "
        "model\n"
        "\n"
        "1 row shown, chosen by --shortest from 30 rows\n"
    )


def test_lost_records_are_listed() -> None:
    """``--dropped`` lists the records that would have no row."""
    result = run(
        "preview", SAMPLE_DATA / "messages.jsonl",
        *options("--dropped", "--max-length", "60", "--rows", "2", template="chatml"),
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (
        0,
        "29 records of 30 without a row, 2 shown\n"
        "messages.jsonl:2: too_long, 102 tokens\n"
        "messages.jsonl:3: too_long, 72 tokens\n",
    )
