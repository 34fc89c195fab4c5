"""transformers' ``Trainer`` trains on our rows as they are, with the lines that are printed.

The loss of each step is that of the documents of its batch, each seen alone and without padding.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from consumers import HERE_TOO, ask
from prepared import IGNORED, Document, documents, lines_for, make

pytestmark = [pytest.mark.trainers]
pytest.importorskip("torch")
pytest.importorskip("accelerate")

SEQ2SEQ, FLATTENING = "DataCollatorForSeq2Seq(tokenizer)", "DataCollatorWithFlattening()"
DEFAULT = "default_data_collator"
PACKED: dict[str, Any] = {"pack": True, "pack_length": 800}


class Case(NamedTuple):
    """How rows are made, and which collator reads them."""

    made: dict[str, Any]
    printed: str  # the collator in the printed lines
    collator: str = ""  # another one in its place
    rows: int = 2  # in a batch
    model: str = "llama"
    attention: str = "sdpa"


CASES = {
    "plain": Case({}, SEQ2SEQ),
    "plain, flattened": Case({}, SEQ2SEQ, FLATTENING),
    "padded": Case({"pad": "max-length"}, SEQ2SEQ, model="gpt2"),
    "packed": Case(PACKED, DEFAULT),
    "packed and padded": Case({**PACKED, "pad": "max-length"}, DEFAULT, model="gpt2"),
}
MORE = {
    "plain, gpt2": Case({}, SEQ2SEQ, model="gpt2"),
    "plain, flattened, eager": Case({}, SEQ2SEQ, FLATTENING, attention="eager"),
    "padded, default collator": Case({"pad": "max-length"}, SEQ2SEQ, DEFAULT),
    "padded to the longest": Case({"pad": "longest"}, SEQ2SEQ),
    "padded on the left": Case({"pad": "max-length", "pad_side": "left"}, SEQ2SEQ),
    "packed, eager": Case(PACKED, DEFAULT, attention="eager"),
    "packed, gpt2": Case(PACKED, DEFAULT, model="gpt2"),
    "packed and padded, eager": Case({**PACKED, "pad": "max-length"}, DEFAULT, attention="eager"),
    "all trained": Case({"train_on": "all"}, SEQ2SEQ),
    "packed, all trained": Case({**PACKED, "train_on": "all"}, DEFAULT),
}


def train(folder: Path, cases: dict[str, Case], environment: str = HERE_TOO) -> dict[str, Any]:
    """Run the printed lines of each case, with its collator; return what was seen, and the rows."""
    questions, ours = [], []
    for number, case in enumerate(cases.values()):
        dataset = make(folder / f"{number}", validation="4", **case.made)
        plain = {k: v for k, v in case.made.items() if k == "train_on"}
        ours.append(documents(make(folder / f"{number} plain", **plain)))
        (lines,) = lines_for(dataset)
        assert f"data_collator={case.printed}," in lines
        questions.append(
            {
                "tokenizer": str(dataset / "tokenizer"),
                "lines": lines.replace(case.printed, case.collator or case.printed),
                "model": case.model,
                "attention": case.attention,
                "rows": case.rows,
                "output": str(folder / "trainer"),
            }
        )
    found = ask(environment, "printed_lines", questions)
    return {
        name: seen | {"ours": rows} for name, seen, rows in zip(cases, found, ours, strict=True)
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was seen in the cases of CI."""
    return train(tmp_path_factory.mktemp("trained"), CASES)


@pytest.fixture(scope="module")
def more_trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was seen in the other cases."""
    return train(tmp_path_factory.mktemp("more"), MORE)


def check(found: dict[str, Any], case: Case) -> None:
    """Check what was seen in one case."""
    ours: list[Document] = found["ours"]
    assert len(found["batches"]) > 3  # the last ones are of the evaluation
    for batch, (theirs, computed) in zip(found["documents"], found["losses"], strict=True):
        for ids, labels in batch:
            # The first token of a document is never a target, whatever its label.
            assert [labels[1:]] == [own[1:] for own_ids, own in ours if own_ids == ids]
        assert theirs == pytest.approx(computed, abs=2e-5)
    assert sum(map(len, found["documents"][:3])) > 5
    if "pack" not in case.made and case.collator != FLATTENING:
        return
    for columns in found["batches"]:
        assert "attention_mask" not in columns
        for positions in columns["position_ids"]:
            starts = [n for n, position in enumerate(positions) if position == 0]
            assert starts[0] == 0
            for start, end in zip(starts, [*starts[1:], len(positions)], strict=True):
                assert positions[start:end] == list(range(end - start))
    assert any(row.count(0) > 1 for row in found["batches"][0]["position_ids"])


@pytest.mark.parametrize("name", CASES)
def test_three_steps(trained: dict[str, Any], name: str) -> None:
    """Batches hold our documents token for token, positions restart, and the loss is theirs."""
    check(trained[name], CASES[name])


@pytest.mark.trainers_slow
@pytest.mark.parametrize("name", MORE)
def test_three_steps_of_more_cases(more_trained: dict[str, Any], name: str) -> None:
    """The same for other models, attention, padding and masks."""
    check(more_trained[name], MORE[name])


def test_the_first_batch(trained: dict[str, Any]) -> None:
    """Padding is all that the collator adds: ids, labels and the mask are those of our rows."""
    batch = trained["plain"]["batches"][0]
    names = ("input_ids", "labels", "attention_mask")
    assert set(batch) == set(names)
    for ids, labels, mask in zip(*(batch[name] for name in names), strict=True):
        size = sum(mask)
        assert mask == [1] * size + [0] * (len(mask) - size)
        assert (ids[:size], labels[:size]) in trained["plain"]["ours"]
        assert labels[size:] == [IGNORED] * (len(mask) - size)


@pytest.mark.trainers_slow
def test_collators_that_join_packed_documents(tmp_path: Path) -> None:
    """The target warns of two collators: with them, documents of a packed row see each other.

    One makes an attention mask, the other numbers a row as if it were one document.
    """
    cases = {
        "right": Case(PACKED, DEFAULT),
        "mask": Case(PACKED, DEFAULT, SEQ2SEQ, rows=1),
        "one document": Case(PACKED, DEFAULT, FLATTENING, rows=1),
    }
    found = {name: seen["losses"][0][0] for name, seen in train(tmp_path, cases).items()}
    assert abs(found["mask"] - found["right"]) > 1e-4
    assert abs(found["one document"] - found["right"]) > 1e-4
