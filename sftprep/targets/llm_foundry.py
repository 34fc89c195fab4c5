"""LLM Foundry: MDS shards whose samples are turns, each a prompt and a response.

A turn holds a run of untrained tokens and the run of trained ones behind it. It has no place for
tokens behind the last trained one, so LLM Foundry does not see them, which changes no loss. If the
last trained token is not the tokenizer's EOS, it appends one and trains it.
"""

from sftprep.targets.contents import IDS, LOSS_MASK
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    loaders = [_loader("train_loader", facts, "train")]
    if facts.has("validation"):
        loaders.append(_loader("eval_loader", facts, "validation"))
    return (Lines("yaml", "\n".join(loaders)),)


def _loader(key: str, facts: Facts, split: str) -> str:
    return (
        f"{key}:\n"
        "  name: finetuning\n"
        "  dataset:\n"
        "    streams:\n"
        "      sftprep:\n"
        f"        local: {facts.path}\n"
        f"        split: {split}\n"
        f"    max_seq_len: {facts.longest}\n"
        "    decoder_only_format: true\n"
        "    target_prompts: none\n"
        "    target_responses: all"
    )


TARGET = Target(
    name="llm-foundry",
    trainer="LLM Foundry, finetuning loader",
    tested="llm-foundry 0.22.0: its collator, with mosaicml-streaming 0.13.0",
    evidence=Evidence.READ,
    shift=Shift.MODEL,
    folder="the dataset's folder and a split, as a stream",
    unpacked=Form(
        {"input_ids": IDS, "loss_mask": LOSS_MASK},
        no_padding="LLM Foundry pads by itself, and takes padding that it finds for text",
    ),
    packed="LLM Foundry packs rows itself, and has no way to be told where the documents of a "
    "packed row begin",
    configuration=_configuration,
    notes=(
        "If the last answer of a row does not end with the tokenizer's EOS, LLM Foundry appends an "
        "EOS to it, and trains it.",
        "Tokens behind the last trained one are stored, but LLM Foundry does not read them. They "
        "have no loss, and no loss depends on them.",
        "Never leave out target_responses: all: by default only the last answer is trained.",
        "Never point it to input_ids and labels: it takes the labels for the response.",
    ),
)
