"""The loss of PyTorch counts exactly the tokens that the shards mark as trained."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sftprep import Recipe, prepare, read_shard

pytestmark = pytest.mark.trainers

SAMPLE_DATA = Path(__file__).resolve().parents[2] / "sample_data"
IGNORE = -100


@pytest.fixture(scope="module")
def torch() -> Any:
    """PyTorch, imported only if a test needs it: the import takes seconds."""
    return pytest.importorskip("torch")


def batch(folder: Path, rows: int) -> tuple[list[list[int]], list[list[int]]]:
    """Build a dataset from the sample data; return ids and labels of its first rows."""
    prepare(
        Recipe(
            inputs=(str(SAMPLE_DATA / "messages.jsonl"),),
            output=str(folder),
            tokenizer=str(SAMPLE_DATA / "tokenizer"),
            template="chatml",
            max_length=200,
            workers=1,
        )
    )
    shard = read_shard(folder / "data" / "train-00000-of-00001.parquet", "parquet")
    ends = shard.input_ids.offsets.tolist()
    ids = [shard.input_ids.row(i).tolist() for i in range(rows)]
    return ids, [shard.labels[ends[i] : ends[i + 1]].tolist() for i in range(rows)]


def test_cross_entropy(tmp_path: Path, torch: Any) -> None:
    """``CrossEntropyLoss(ignore_index=-100)`` is the mean over the trained tokens alone."""
    ids, labels = batch(tmp_path / "out", 8)
    longest = max(map(len, ids))
    inputs = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
    targets = torch.tensor([row + [IGNORE] * (longest - len(row)) for row in labels])
    torch.manual_seed(0)
    size = 4096
    model = torch.nn.Sequential(torch.nn.Embedding(size, 16), torch.nn.Linear(16, size)).double()
    logits = model(inputs)
    loss = torch.nn.CrossEntropyLoss(ignore_index=IGNORE)(
        logits[:, :-1].reshape(-1, size), targets[:, 1:].reshape(-1)
    )

    odds = torch.log_softmax(logits, dim=-1)
    by_hand = [
        -odds[row, place - 1, ids[row][place]]
        for row, row_labels in enumerate(labels)
        for place in range(1, len(row_labels))
        if row_labels[place] != IGNORE
    ]
    assert 0 < len(by_hand) < sum(map(len, ids))
    torch.testing.assert_close(torch.stack(by_hand).mean(), loss)


def test_gradient(tmp_path: Path, torch: Any) -> None:
    """A token that is never trained gets no gradient as a target."""
    ids, labels = batch(tmp_path / "out", 8)
    size = 4096
    bias = torch.zeros(size, requires_grad=True)
    flat = torch.tensor([x for row in labels for x in row[1:]])
    scores = bias.expand(len(flat), size)
    torch.nn.CrossEntropyLoss(ignore_index=IGNORE, reduction="sum")(scores, flat).backward()
    trained = {x for row in labels for x in row[1:] if x != IGNORE}
    masked_only = {x for row in ids for x in row} - trained
    assert masked_only
    share = len(flat[flat != IGNORE]) / size
    assert bias.grad is not None
    for token in masked_only:  # only the softmax lowers its score; it is never the target
        assert bias.grad[token].item() == pytest.approx(share)


class Tiny:
    """One layer of attention, with positions: a token's loss depends on all that it may see."""

    def __init__(self, torch: Any, vocabulary: int, width: int = 16) -> None:
        self._torch = torch
        torch.manual_seed(0)
        self._parts = torch.nn.ModuleDict(
            {
                "tokens": torch.nn.Embedding(vocabulary, width),
                "positions": torch.nn.Embedding(512, width),
                "attention": torch.nn.MultiheadAttention(width, 2, batch_first=True),
                "head": torch.nn.Linear(width, vocabulary),
            }
        ).double()

    def loss(self, ids: Any, labels: Any, positions: Any, may_see: Any) -> Any:
        """Return the sum of the losses of a row.

        Args:
            ids: int64[tokens].
            labels: int64[tokens].
            positions: int64[tokens].
            may_see: bool[tokens, tokens], True if the first one may attend to the second one.
        """
        parts = self._parts
        states = (parts["tokens"](ids) + parts["positions"](positions))[None]
        seen, _ = parts["attention"](states, states, states, attn_mask=~may_see)
        logits = parts["head"](states + seen)[0]
        return self._torch.nn.functional.cross_entropy(
            logits[:-1], labels[1:], ignore_index=IGNORE, reduction="sum"
        )


@pytest.mark.parametrize("pad", ["none", "max-length"])
def test_the_loss_of_a_pack_is_that_of_its_documents(tmp_path: Path, torch: Any, pad: str) -> None:
    """If each token attends to its own document only, which position_ids tell."""
    recipe = Recipe(
        inputs=(str(SAMPLE_DATA / "messages.jsonl"),),
        output=str(tmp_path / "plain"),
        tokenizer=str(SAMPLE_DATA / "tokenizer"),
        template="chatml",
        max_length=200,
        add_token=("pad=<|pad|>",),
        workers=1,
    )
    alone = {}
    prepare(recipe)
    plain = read_shard(tmp_path / "plain/data/train-00000-of-00001.parquet", "parquet")
    ends = plain.input_ids.offsets.tolist()
    for start, end in itertools.pairwise(ends):
        ids = plain.input_ids.values[start:end]
        alone[tuple(ids.tolist())] = plain.labels[start:end].tolist()

    output = tmp_path / "packed"
    prepare(replace(recipe, output=str(output), pack=True, pack_length=500, pad=pad))
    packs = pq.read_table(output / "data/train-00000-of-00001.parquet").to_pylist()
    model = Tiny(torch, 5000)
    several = 0
    for pack in packs:
        ids, labels, positions = (
            torch.tensor(pack[name]) for name in ("input_ids", "labels", "position_ids")
        )
        document = torch.cumsum(positions == 0, 0)
        before = torch.ones(len(ids), len(ids)).tril().bool()
        may_see = (document[:, None] == document) & before
        whole = model.loss(ids, labels, positions, may_see)

        parts, start = [], 0
        for size in pack["seq_lengths"]:
            own = ids[start : start + size]
            causal = torch.ones(size, size).tril().bool()
            own_labels = torch.tensor(alone[tuple(own.tolist())])
            parts.append(model.loss(own, own_labels, torch.arange(size), causal))
            start += size
        torch.testing.assert_close(whole, torch.stack(parts).sum())
        if len(parts) > 1:
            several += 1
            assert not torch.isclose(whole, model.loss(ids, labels, positions, before))
    assert several > 3
