"""A manifest is read as it was written, and refused if it was changed."""

import json
from pathlib import Path

import pytest
from manifests import manifest

from sftprep import DataError, NoInputError, load_manifest
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.manifest import Prepared


def test_manifest_round_trip(tmp_path: Path) -> None:
    """A manifest that was written and read again is the same."""
    (tmp_path / MANIFEST).write_bytes(manifest().dump())
    assert manifest() == load_manifest(tmp_path)
    assert manifest().dump() == load_manifest(tmp_path).dump()


def test_no_manifest(tmp_path: Path) -> None:
    """A folder without a manifest is not a dataset."""
    with pytest.raises(NoInputError) as caught:
        load_manifest(tmp_path)
    assert (
        f"{tmp_path}: holds no dataset: there is no manifest.json. Check the path, or run prepare."
    ) == str(caught.value)


OTHER_VERSION = "this sftprep reads 7. Use the version that wrote it, or build the dataset again."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is damaged: "),
        (b"[]", f"has format version null; {OTHER_VERSION}"),
        (b"{}", f"has format version null; {OTHER_VERSION}"),
        (b'{"format_version": 1}', f"has format version 1; {OTHER_VERSION}"),
        (b'{"format_version": "7"}', f"has format version '7'; {OTHER_VERSION}"),
        (
            b'{"format_version": 7}',
            "does not have exactly the keys of a manifest. Build the dataset again.",
        ),
        (
            manifest().dump().replace(b'"max_length": 9', b'"max_length": 8'),
            "has been changed since it was written: its digest does not match. Build the "
            "dataset again.",
        ),
    ],
)
def test_bad_manifest(tmp_path: Path, content: bytes, message: str) -> None:
    """A manifest that is damaged, edited or of another version is an error that says so."""
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_manifest(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / MANIFEST}: {message}")
    assert message == "is damaged: " or str(caught.value).endswith(message)


@pytest.mark.parametrize("cut", range(0, 700, 35))
def test_manifest_that_was_cut_off(tmp_path: Path, cut: int) -> None:
    """A manifest that was cut off is an error, wherever it ends."""
    whole = manifest().dump()
    (tmp_path / MANIFEST).write_bytes(whole[: min(cut, len(whole) - 2)])
    with pytest.raises(DataError, match=r" is damaged: .*\. Build the dataset again\.$"):
        load_manifest(tmp_path)


def test_identity_of_a_manifest() -> None:
    """The identity holds what decided the bytes: the inputs by content, nothing of the result."""
    found = manifest(
        inputs=[{"name": "a", "sha256": "1"}, {"name": "b", "sha256": "2"}],
        tokenizer={
            "sha256": "t", "name": "x", "adds_bos": True, "stop_tokens": ["</s>"],
            "special_tokens": {"eos": {"token": "</s>", "id": 1}},
        },
        template={"sha256": "u", "name": "y", "source": "z"},
        libraries={"orjson": "3"},
        counts={"read": 1},
        shards=[{"rows": 1}],
    ).identity()  # fmt: skip
    assert found == {
        "format_version": 7, "recipe": {"max_length": 9}, "tokenizer": "t", "template": "u",
        "special_tokens": {"adds_bos": True, "eos": {"token": "</s>", "id": 1}},
        "stop_tokens": ["</s>"],
        "libraries": {"orjson": "3"}, "inputs": ["1", "2"],
    }  # fmt: skip


def test_dump_of_a_result() -> None:
    """What ``--json`` prints is the status and then the manifest as it is written."""
    whole = manifest(counts={"价": 1})
    found = Prepared(whole, "resumed").dump()
    assert found.startswith(b'{\n  "status": "resumed",\n  "format_version": 7,')
    assert json.loads(found) == {"status": "resumed", **json.loads(whole.dump())}
    assert found.endswith(b"\n}\n")
