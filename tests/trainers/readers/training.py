"""What the readers that train have in common: a tiny model, and a loss computed apart from it."""

from typing import Any

import torch

STEPS = 3
IGNORED = -100
Document = tuple[list[int], list[int]]  # ids, labels


def tiny_model(kind: str, vocabulary: int, attention: str = "sdpa") -> Any:
    """Return a model of two layers with random weights, the same each time.

    Args:
        kind: ``llama``, with rotary positions; ``gpt2``, with absolute ones, whose losses change
            if a token is at another place.
        vocabulary: the number of ids.
        attention: which of transformers' implementations computes the attention.
    """
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    common = {"vocab_size": vocabulary, "attn_implementation": attention}
    if kind == "gpt2":
        off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, **off, **common))
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads, **common))


def documents_of(batch: dict[str, Any]) -> list[Document]:
    """Return the documents of a batch, without padding.

    They begin where positions begin again; else where the numbers in the attention mask change.
    A document without a trained token is padding.
    """
    found = []
    for row in range(len(batch["input_ids"])):
        ids, labels = batch["input_ids"][row].tolist(), batch["labels"][row].tolist()
        if "position_ids" in batch:
            numbers = (batch["position_ids"][row] == 0).cumsum(0).tolist()
        else:
            numbers = batch["attention_mask"][row].tolist()
        starts = [n for n in range(len(ids)) if n == 0 or numbers[n] != numbers[n - 1]]
        ends = [*starts[1:], len(ids)]
        found += [(ids[a:b], labels[a:b]) for a, b in zip(starts, ends, strict=True)]
    return [document for document in found if any(label != IGNORED for label in document[1])]


def loss_of(model: Any, documents: list[Document]) -> float:
    """Return the mean loss of the trained tokens, each document alone, in 64 bits."""
    odds: list[float] = []
    for ids, labels in documents:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].double()
        scores = torch.log_softmax(logits, -1)
        odds += [scores[i - 1, ids[i]].item() for i in range(1, len(ids)) if labels[i] != IGNORED]
    return -sum(odds) / len(odds)


class Watch:
    """Notes the batches of a trainer, and both losses of each."""

    def __init__(self) -> None:
        self.batches: list[dict[str, list[list[int]]]] = []
        self.documents: list[list[Document]] = []
        self.losses: list[tuple[float, float]] = []

    def over(self, trainer: type) -> type:
        """Return a trainer of transformers, or one made from it, that is watched."""
        watch = self

        class Watched(trainer):  # type: ignore[misc]
            def compute_loss(self, model: Any, inputs: Any, *args: Any, **more: Any) -> Any:
                documents = documents_of(inputs)
                watch.batches.append(
                    {k: v.tolist() for k, v in inputs.items() if hasattr(v, "tolist")}
                )
                computed = loss_of(model, documents)
                found = super().compute_loss(model, inputs, *args, **more)
                loss = found[0] if isinstance(found, tuple) else found
                watch.documents.append(documents)
                watch.losses.append((loss.item(), computed))
                return found

        return Watched

    @property
    def seen(self) -> dict[str, Any]:
        """What was noted."""
        return {"batches": self.batches, "documents": self.documents, "losses": self.losses}
