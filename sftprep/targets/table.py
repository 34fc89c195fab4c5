"""The table of targets, and of the trainers that cannot be given token ids.

In     a target's name; how the rows of a dataset are arranged.
Out    the target; or why it does not take such rows.

To add a target: write a module with a ``TARGET``, add it to ``DECLARED``, and its name with its
formats to ``targets.names.TARGET_FORMATS``. If it needs a content that no other has, that is a
function and an entry in ``contents.py``.
"""

from collections.abc import Mapping
from typing import Any

from sftprep.targets import (
    automodel,
    axolotl,
    hf,
    llama_factory,
    llm_foundry,
    megatron_bridge,
    olmo_core,
    skyrl,
    streaming,
    together,
    torchtune,
    trl,
    unsloth,
    verl,
)
from sftprep.targets.names import TARGET_FORMATS
from sftprep.targets.target import IGNORED, Form, Target, Unable

DECLARED: dict[str, Target] = {
    module.TARGET.name: module.TARGET
    for module in (
        hf,
        trl,
        axolotl,
        unsloth,
        llama_factory,
        megatron_bridge,
        automodel,
        olmo_core,
        skyrl,
        llm_foundry,
        streaming,
        torchtune,
        together,
        verl,
    )
}

TARGETS: dict[str, Target] = {name: DECLARED[name] for name in TARGET_FORMATS}
"""The targets that can be written: the others are declared, but wait for a format."""

UNABLE: dict[str, Unable] = {
    unable.name: unable
    for unable in (
        Unable(
            "ms-swift",
            "ms-swift",
            "ms-swift 4.6.0",
            "Its cached datasets hold records, which it encodes again while it trains.",
            "Give it the records themselves, or train the same model with TRL: --target trl.",
        ),
        Unable(
            "torchtitan",
            "torchtitan",
            "torchtitan 0.3",
            "It reads conversations of one turn as text, and tokenizes them while it trains.",
            "Use torchtune or NeMo Automodel: --target torchtune, --target automodel.",
        ),
        Unable(
            "mlx-lm",
            "MLX-LM",
            "not run",
            "It reads chats, completions or text, and tokenizes them while it trains.",
            "Give it the records themselves. Check with sftprep preview what its template should "
            "give.",
        ),
        Unable(
            "litgpt",
            "LitGPT",
            "not run",
            "It reads instructions as JSON, and tokenizes them while it trains.",
            "Use torchtune or transformers' Trainer: --target torchtune, --target hf.",
        ),
        Unable(
            "megatron-lm",
            "Megatron-LM, --sft",
            "its source was read; it was not run",
            "It reads conversations as JSON, and tokenizes them while it trains.",
            "Use Megatron-Bridge: --target megatron-bridge.",
        ),
        Unable(
            "xtuner",
            "XTuner",
            "its source was read; it was not run",
            "It reads conversations as JSON, and tokenizes them while it trains.",
            "Use LLaMA-Factory or Axolotl: --target llama-factory, --target axolotl.",
        ),
        Unable(
            "prime-rl",
            "prime-rl's SFT trainer",
            "its source was read; it was not run",
            "It reads conversations as text, and tokenizes them while it trains.",
            "Use TRL or NeMo Automodel: --target trl, --target automodel.",
        ),
    )
}
"""Trainers that cannot be given token ids with their labels, and what to use instead."""


def form_of(recipe: Mapping[str, Any]) -> Form:
    """Return the columns of a dataset.

    Args:
        recipe: the recipe in its manifest.
    """
    target = TARGETS[recipe["target"]]
    return target.form(packed=recipe["pack"], loss_mask=recipe["loss_mask"])


def why_not(
    target: Target,
    *,
    packed: bool,
    padded: bool,
    left: bool,
    one_length: int,
    ignore_index: int = IGNORED,
    loss_mask: str | None = None,
) -> str:
    """Say why a target does not take rows of this form.

    Args:
        target: the target.
        packed: whether a row may hold several documents.
        padded: whether rows are padded.
        left: whether padding is on the left.
        one_length: the length that all rows are padded to; 0 if they may differ in length.
        ignore_index: the label of a token without loss.
        loss_mask: the column that is in place of labels; None if there are labels.

    Returns:
        A sentence and what to do; "" if the target takes them.
    """
    if why := _why_not_loss(target, ignore_index, loss_mask):
        return why
    if packed and not isinstance(target.packed, Form):
        return f"{target.packed}. Leave out --pack."
    form = target.form(packed=packed)
    if padded and form.no_padding:
        return f"{form.no_padding}. Leave out --pad."
    if padded and left and target.no_left_padding:
        return f"{target.no_left_padding}. Leave out --pad-side left."
    if form.one_length and (not one_length or one_length % 8):
        what = "" if not one_length else f" ({one_length:,} is none)"
        return (
            f"{form.one_length}. Pass --pad max-length, with a length that is a multiple of "
            f"8{what}."
        )
    return ""


def _why_not_loss(target: Target, ignore_index: int, loss_mask: str | None) -> str:
    """Say why a target cannot be told in this way which tokens are trained."""
    if loss_mask is not None:
        if loss_mask in target.loss_masks:
            return ""
        return f"{target.trainer} reads no {loss_mask}. Leave out --loss-mask."
    if target.unpacked.has_labels and ignore_index != IGNORED and not target.labels_of_any_value:
        return (
            f"{target.trainer} ignores the label {IGNORED} and no other. Leave out --ignore-index."
        )
    return ""
