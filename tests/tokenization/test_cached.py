"""What was found out once is kept whole, or not at all; and it decides nothing."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sftprep import Recipe, prepare
from sftprep.tokenization import cached as resolve
from sftprep.tokenization.cached import resolve_encoding, resolve_tokenizer
from sftprep.tokenization.disk_cache import cache_folder, keep, recall
from sftprep.tokenization.proof import prove
from sftprep.tokenization.tokenizer import load_tokenizer

SAMPLE_DATA = Path(__file__).resolve().parents[2] / "sample_data"
TOKENIZER = SAMPLE_DATA / "tokenizer"
FACTS = {"a": 1, "b": ["x"]}
CONTENT = {"one": b"1", "two": b"\x00\xff"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("SFTPREP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- the cache itself ---------------------------------------------------------------------------


def test_kept_and_recalled(cache: Path) -> None:
    """The same facts give the same content; other facts, another kind or another order of keys."""
    assert recall("k", FACTS) is None
    keep("k", FACTS, CONTENT)
    assert recall("k", FACTS) == CONTENT
    assert recall("k", {"b": ["x"], "a": 1}) == CONTENT
    assert recall("k", FACTS | {"a": 2}) is None
    assert recall("other", FACTS) is None
    assert len(list(cache.iterdir())) == 1
    assert cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "part-1").write_bytes(b"\x00\xfe"),
        lambda entry: (entry / "part-0").unlink(),
        lambda entry: (entry / "index.json").write_bytes(b"{"),
        lambda entry: (entry / "index.json").write_bytes(b"[]"),
        lambda entry: (entry / "index.json").write_bytes(b"{}"),
        lambda entry: (entry / "index.json").unlink(),
    ],
)
def test_damage_is_no_content(cache: Path, damage: Callable[[Path], object]) -> None:
    """An entry that is not what was written is none, and is written anew."""
    keep("k", FACTS, CONTENT)
    (entry,) = cache.iterdir()
    damage(entry)
    assert recall("k", FACTS) is None
    keep("k", FACTS, CONTENT)
    assert recall("k", FACTS) == CONTENT
    assert [entry] == list(cache.iterdir())


def test_no_cache_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty name means none."""
    monkeypatch.setenv("SFTPREP_CACHE", "")
    assert cache_folder() is None
    keep("k", FACTS, CONTENT)
    assert recall("k", FACTS) is None


def test_no_place_for_it(cache: Path) -> None:
    """Where the folder cannot be made, nothing is kept, and nothing fails."""
    cache.write_text("a file")
    keep("k", FACTS, CONTENT)
    assert recall("k", FACTS) is None
    assert cache.read_text() == "a file"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SFTPREP_CACHE": "/c"}, "/c"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/sftprep"),
        ({"HOME": "/h"}, "/h/.cache/sftprep"),
    ],
)
def test_places(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    """The user's word first, then the system's."""
    for name in ("SFTPREP_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


# --- tokenizers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [TOKENIZER, TOKENIZER / "tokenizer.json"])
@pytest.mark.parametrize("added", [[], ["<|new|>", "pad=<|other|>"]])
@pytest.mark.usefixtures("cache")
def test_recalled_tokenizer(
    source: Path, added: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recalled tokenizer is the one that was loaded, in every field, without loading it again."""
    loaded = load_tokenizer(str(source), add_tokens=added)
    assert resolve_tokenizer(str(source), add_tokens=added) == loaded
    monkeypatch.setattr(resolve, "load_tokenizer", None)
    recalled = resolve_tokenizer(str(source), add_tokens=added)
    assert recalled == loaded
    assert recalled.sha256 == loaded.sha256
    assert recalled.controls == loaded.controls


@pytest.mark.usefixtures("cache")
def test_recalled_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recalled encoding is the one that was proven."""
    tokenizer = load_tokenizer(str(TOKENIZER))
    proven = prove(tokenizer, ["<|im_end|>"], "auto")
    assert resolve_encoding(tokenizer, ["<|im_end|>"], "auto") == proven
    monkeypatch.setattr(resolve, "prove", None)
    assert resolve_encoding(tokenizer, ["<|im_end|>"], "auto") == proven
    with pytest.raises(TypeError):  # other facts: proven anew
        resolve_encoding(tokenizer, [], "auto")


def change_merges(folder: Path) -> None:
    """Take the tokenizer's last merge away."""
    path = folder / "tokenizer.json"
    state = json.loads(path.read_text())
    state["model"]["merges"].pop()
    path.write_text(json.dumps(state))


@pytest.mark.parametrize(
    "change",
    [
        change_merges,
        lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}"),
        lambda folder: (folder / "config.json").write_text('{"model_type": "gpt2"}'),
        lambda folder: folder.rename(folder.with_name("renamed")),
    ],
)
@pytest.mark.usefixtures("cache")
def test_changed_files_are_another_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    """Whatever transformers may read of a folder decides; so does its name, which is reported."""
    folder = tmp_path / "own"
    shutil.copytree(TOKENIZER, folder)
    resolve_tokenizer(str(folder))
    change(folder)
    folder = folder if folder.exists() else folder.with_name("renamed")
    loaded = load_tokenizer(str(TOKENIZER))
    monkeypatch.setattr(resolve, "load_tokenizer", lambda *a, **k: replace(loaded, name="anew"))
    assert resolve_tokenizer(str(folder)).name == "anew"


@pytest.mark.parametrize(
    ("revision", "kept"), [(None, 0), ("main", 0), ("a" * 40, 1), ("a" * 39, 0)]
)
def test_hub_ids(
    cache: Path, monkeypatch: pytest.MonkeyPatch, revision: str | None, kept: int
) -> None:
    """What a hub gives is kept for a commit alone: a branch may move."""
    loaded = load_tokenizer(str(TOKENIZER))
    monkeypatch.setattr(resolve, "load_tokenizer", lambda *a, **k: loaded)
    resolve_tokenizer("owner/name", revision=revision)
    assert kept == len(list(cache.glob("tokenizer-*")))


def test_same_bytes_with_and_without(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cache, a cold one and a warm one give the same dataset, byte for byte."""

    def made(name: str, where: str) -> dict[str, bytes]:
        monkeypatch.setenv("SFTPREP_CACHE", where)
        source = str(SAMPLE_DATA / "messages.jsonl")
        out = tmp_path / name
        prepare(
            Recipe(inputs=(source,), output=str(out), tokenizer=str(TOKENIZER), template="chatml")
        )
        return {
            str(path.relative_to(out)): path.read_bytes()
            for path in sorted(out.rglob("*"))
            if path.is_file()
        }

    none, cold, warm = made("none", ""), made("cold", str(cache)), made("warm", str(cache))
    assert none == cold == warm
    assert len(none) == 5
