"""run: a whole run, from the inputs to the manifest."""

from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, byte_hf, recipe, save_folder, tree, write_jsonl

from sftprep import DataError, NoInputError, Recipe, UsageError, load_manifest, prepare


class Recorded:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.total: int | None = None
        self.read = 0
        self.stored = 0

    def note(self, text: str) -> None:
        """Remember a note."""
        self.notes.append(text)

    def warn(self, text: str) -> None:
        """Remember a warning among the notes."""
        self.notes.append(text)

    def start(self, total: int | None) -> None:
        """Remember the total."""
        self.total = total

    def advance(self, stored: int, size: int, records: int) -> None:
        """Add up the records."""
        self.stored, self.read = stored, self.read + records


def test_progress_is_told_of_all_input(tmp_path: Path) -> None:
    """At the end of a run, as much was read as there is, in bytes and in records."""
    source, progress = SAMPLE_DATA / "messages.jsonl", Recorded()
    made = prepare(recipe(source, tmp_path / "out", template="chatml"), progress=progress)
    assert (progress.total, progress.stored) == (source.stat().st_size,) * 2
    assert progress.read == made.manifest.counts["read"] == 30


def test_a_word_that_is_no_value(tmp_path: Path) -> None:
    """Python's ``False`` is a text for a template, which a note says, and what to pass instead."""
    template = tmp_path / "own.jinja"
    template.write_text(
        "{{ thinking }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
        "{% endfor %}"
    )
    source, progress = SAMPLE_DATA / "messages.jsonl", Recorded()
    options: dict[str, Any] = {"template": str(template), "template_arg": ("thinking=False",)}
    prepare(recipe(source, tmp_path / "out", **options), progress=progress)
    assert progress.notes == [
        "--template-arg thinking=False is the text 'False'. For the value, pass thinking=false."
    ]


def test_notes_come_before_the_work(tmp_path: Path) -> None:
    """A limit beyond the tokenizer's own is used, and noted."""
    folder = save_folder(byte_hf(["</s>"]), tmp_path / "t", eos_token="</s>", model_max_length=50)
    source, progress = (
        write_jsonl(tmp_path / "a.jsonl", [{"prompt": "a", "completion": "b"}]),
        Recorded(),
    )
    prepare(
        Recipe(
            inputs=(str(source),), output=str(tmp_path / "out"), tokenizer=str(folder),
            max_length=60, workers=1,
        ),
        progress=progress,
    )  # fmt: skip
    assert progress.notes == [
        "--max-length 60 is more than the tokenizer says its model can read (50)."
    ]


def test_an_output_is_needed() -> None:
    """Without an output folder nothing is read."""
    with pytest.raises(UsageError, match=r"^no output folder"):
        prepare(Recipe(inputs=("nothing.jsonl",), tokenizer="nothing"))


def test_schemas_of_several_files(tmp_path: Path) -> None:
    """Each file's schema is detected separately; ``--schema`` applies to all files."""
    files = [
        write_jsonl(tmp_path / "a.jsonl", [{"prompt": "a", "completion": "b"}]),
        write_jsonl(tmp_path / "b.jsonl", [{"x": 1}, {"instruction": "a", "output": "b"}]),
    ]
    options: dict[str, Any] = {
        "inputs": tuple(map(str, files)),
        "output": str(tmp_path / "out"),
        "tokenizer": str(save_folder(byte_hf(["</s>"]), tmp_path / "t", eos_token="</s>")),
        "on_error": "quarantine",
        "workers": 1,
    }
    prepare(Recipe(**options))
    found = [(i["schema"], i["read"], i["written"]) for i in load_manifest(tmp_path / "out").inputs]
    assert found == [("prompt-completion", 1, 1), ("instruction", 2, 1)]
    with pytest.raises(DataError, match=r"^3 of 3 records cannot be used"):
        prepare(Recipe(**options | {"schema": "messages", "overwrite": True, "on_error": "fail"}))


def test_same_bytes_again(tmp_path: Path) -> None:
    """The same input and options give the same files, from another working directory too."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        prepare(recipe(SAMPLE_DATA / "instruction.jsonl", tmp_path / name / "out", template="qa"))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_no_records(tmp_path: Path) -> None:
    """An input without records is an error, and nothing is published."""
    with pytest.raises(NoInputError):
        prepare(recipe(write_jsonl(tmp_path / "a.jsonl", []), tmp_path / "out"))
    assert not (tmp_path / "out").exists()
