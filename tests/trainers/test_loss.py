"""The loss of PyTorch counts exactly the tokens that the shards mark as trained."""

from pathlib import Path

import pytest

from sftprep import Recipe, prepare, read_shard

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.trainers

SAMPLE_DATA = Path(__file__).resolve().parents[2] / "sample_data"
IGNORE = -100


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


def test_cross_entropy(tmp_path: Path) -> None:
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


def test_gradient(tmp_path: Path) -> None:
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
