"""Train a tiny model with TRL for three steps, and compute each loss apart from it.

In     folder: a dataset's; options of ``SFTConfig``; output: a folder for the trainer.
Out    documents: the batches, as documents of ids and labels; losses: pairs of TRL's loss and ours.

Our loss is the mean over the trained tokens of all documents of a batch, each document alone and
without padding.
"""

import json
import sys
from typing import Any

import datasets
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

STEPS = 3
IGNORED = -100


def documents_of(batch: dict[str, Any]) -> list[tuple[list[int], list[int]]]:
    """Return the documents of a batch: ids and labels, without padding."""
    found = []
    for row in range(len(batch["input_ids"])):
        ids, labels = batch["input_ids"][row].tolist(), batch["labels"][row].tolist()
        if "position_ids" in batch:
            positions = batch["position_ids"][row].tolist()
            starts = [place for place, position in enumerate(positions) if position == 0]
        else:
            starts = [0]
            ids = ids[: int(batch["attention_mask"][row].sum())]
        ends = [*starts[1:], len(ids)]
        found += [(ids[a:b], labels[a:b]) for a, b in zip(starts, ends, strict=True)]
    return found


def loss_of(model: Any, documents: list[tuple[list[int], list[int]]]) -> float:
    """Return the mean loss of the trained tokens, in 64 bits."""
    odds: list[float] = []
    for ids, labels in documents:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].double()
        scores = torch.log_softmax(logits, -1)
        odds += [scores[i - 1, ids[i]].item() for i in range(1, len(ids)) if labels[i] != IGNORED]
    return -sum(odds) / len(odds)


class Trainer(SFTTrainer):  # type: ignore[misc]
    """Notes both losses of each step."""

    batches: list[list[tuple[list[int], list[int]]]] = []  # noqa: RUF012 - of this one trainer
    losses: list[tuple[float, float]] = []  # noqa: RUF012

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **more: Any) -> Any:
        """Compute the loss of a batch in both ways."""
        documents = documents_of(inputs)
        found = super().compute_loss(model, inputs, *args, **more)
        loss = found[0] if isinstance(found, tuple) else found
        self.batches.append(documents)
        self.losses.append((loss.item(), loss_of(model, documents)))
        return found


def main(folder: str, options: dict[str, Any], output: str) -> dict[str, Any]:
    """Train, and return what was seen."""
    datasets.disable_progress_bars()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(f"{folder}/tokenizer")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, **heads))
    trainer = Trainer(
        model,
        args=SFTConfig(
            output_dir=output,
            max_steps=STEPS,
            per_device_train_batch_size=2,
            learning_rate=1e-2,
            report_to=[],
            save_strategy="no",
            bf16=False,
            use_cpu=True,
            **options,
        ),
        train_dataset=datasets.load_dataset(folder)["train"],
        processing_class=tokenizer,
    )
    trainer.train()
    return {"batches": Trainer.batches, "losses": Trainer.losses}


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
