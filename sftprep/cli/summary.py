"""Write the summary that ``prepare`` prints when a run is done.

In     a ``Manifest`` and the name of the output folder.
Out    a few lines of text: counts with thousands separators, lost records by reason, advice. If
       many records were lost, the first line says so.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sftprep.cli.arranged import NOT_PADDED, arranged, padding, rows_in_words
from sftprep.cli.read_as import read_as
from sftprep.data.batch import DropReason
from sftprep.data.omitted import UNANSWERED, in_words
from sftprep.dataset.accounting import longer_limit
from sftprep.dataset.causes import Cause, most_frequent
from sftprep.dataset.manifest import Manifest, size_of
from sftprep.dataset.training import target_of, training_lines
from sftprep.text import ascii_safe, duration, number, size

GREAT_LOSS = 0.05
"""If more than this share of the records have no row, the summary says so first."""

LOSSES = frozenset(DropReason)
"""Why a valid record can be lost. Other reasons are asked for, such as that it is a duplicate."""


def summarize(
    manifest: Manifest, output: str, status: str = "written", causes: Sequence[Cause] = ()
) -> str:
    """Summarize a finished dataset.

    Args:
        manifest: the manifest of the dataset.
        output: the name of the dataset's folder.
        status: whether this run wrote the dataset, as in ``Prepared``.
        causes: why records were refused.
    """
    output = ascii_safe(output)
    if status == "unchanged":
        return f"{output}: already complete, from the same input and options; nothing was done"
    lines = [*_great_loss(manifest, output), _rows(manifest, output), *read_as(manifest)]
    lines += _losses(manifest, causes)
    lines += _cuts(manifest) + arranged(manifest)
    lines += _tokenizer(manifest) + _remarks(manifest) + _training(manifest, output)
    return "\n".join(lines)


def account(manifest: Manifest, seconds: float, *, of_input: bool) -> str:
    """Say how long a run took, how fast it was, and how much it wrote.

    Args:
        manifest: the manifest of the dataset.
        seconds: how long the run took.
        of_input: True if the run has read the input; False if it has read a finished dataset.
    """
    read = sum(entry["bytes"] for entry in manifest.inputs)
    rate = f"{size(read)} of input, {read / 1e6 / seconds:.1f} MB/s; " if of_input else ""
    shards = sum(map(size_of, manifest.shards))
    index = sum(shard["index"]["bytes"] for shard in manifest.shards)
    return (
        f"done in {duration(seconds)}: {rate}{size(shards)} of shards and {size(index)} of index "
        "written"
    )


def _great_loss(manifest: Manifest, output: str) -> list[str]:
    """Say that many records have no row, with the limit that nearly all would fit."""
    counts = manifest.counts
    dropped = {reason: n for reason, n in counts["dropped"].items() if reason in LOSSES}
    lost = Counter(dropped) + Counter(counts["rejected"])
    examples = counts["read"] + counts["extra_examples"]
    if lost.total() <= GREAT_LOSS * examples:
        return []
    noun = "examples" if counts["extra_examples"] else "records"
    return [
        f"{output}: {lost.total():,} of {examples:,} {noun} have no row "
        f"({lost.total() / examples:.1%}): {_reasons(dict(lost.most_common()))}. "
        f"{longer_limit(counts)}".rstrip(". ")
    ]


def _rows(manifest: Manifest, output: str) -> str:
    counts = manifest.counts
    share = counts["trained_tokens"] / counts["tokens"]
    shards = number(len(manifest.shards), "shard")
    schemas = ", ".join(sorted({i["schema"] for i in manifest.inputs if i["schema"]}))
    examples = ""
    if counts["extra_examples"]:
        examples = f", {counts['read'] + counts['extra_examples']:,} examples"
    unit = "document" if manifest.recipe.get("pack") else "row"
    return (
        f"{output}: {rows_in_words(manifest)} in {shards}, "
        f"{number(counts['tokens'], 'token')}, {share:.1%} of them trained\n"
        f"  read       {number(counts['read'], 'record')} ({schemas}){examples}, template "
        f"{manifest.template['name']}, at most {manifest.recipe['max_length']:,} tokens per {unit}"
    )


def _losses(manifest: Manifest, causes: Sequence[Cause]) -> list[str]:
    counts = manifest.counts
    lines = []
    if counts["dropped"]:
        lines.append(f"  dropped    {_reasons(counts['dropped'])}; listed in dropped.jsonl")
    if counts["rejected"]:
        lines.append(f"  rejected   {_reasons(counts['rejected'])}; kept in rejects.jsonl")
        lines += [f"             {line}" for line in most_frequent(causes)]
    return lines


def _cuts(manifest: Manifest) -> list[str]:
    counts, lines = manifest.counts, []
    if counts["truncated"]:
        how = manifest.recipe["truncation"]
        lost = counts["truncated_trained"]
        what = "all or part of an answer" if _trains_answers(manifest) else "trained tokens"
        rest = f"; {lost:,} of them lost {what}" if lost else ""
        lines.append(f"  truncated  {number(counts['truncated'], 'row')} by {how}{rest}")
    if counts["shortened"]:
        lines.append(
            f"  shortened  {number(counts['shortened'], 'conversation')} by "
            f"{number(counts['exchanges_dropped'], 'exchange')} in all"
        )
    return lines


def _tokenizer(manifest: Manifest) -> list[str]:
    tokenizer = manifest.tokenizer
    special = tokenizer["special_tokens"]
    size = tokenizer["vocabulary_size"]
    lines = []
    if added := tokenizer["added_tokens"]:
        lines.append(
            f"  tokenizer  {number(len(added), 'token')} added ({', '.join(added)}): call "
            f"model.resize_token_embeddings({size}), and load tokenizer/ from the output"
        )
    else:
        lines.append(f"  tokenizer  {tokenizer['name']}, vocabulary {size:,}, nothing added")
    how = padding(manifest)
    if "pad" not in special:
        lines.append(f"  padding    the tokenizer has no pad token; {how}")
    elif tokenizer["pad_is_eos"]:
        how = "" if how == NOT_PADDED else f"; {how}"
        lines.append(
            f"  padding    the pad token is EOS ({special['pad']['token']}): labels are already "
            f"set, so use a collator that does not mask by pad id{how}"
        )
    else:
        lines.append(f"  padding    the pad token is {special['pad']['token']}; {how}")
    return lines


def _remarks(manifest: Manifest) -> list[str]:
    counts, lines = manifest.counts, []
    lines += _stops(manifest)
    if texts := counts["tokens_as_text"]:
        what = ", ".join(f"{text} in {number(n, 'row')}" for text, n in texts.items())
        first = next(iter(texts))
        lines.append(
            f"  tokens     template {manifest.template['name']} writes what looks like a token and "
            f"is none of the tokenizer's: {what}. Pass --add-token '{first}', or --plain-text "
            f"'{first}' if it is meant as text"
        )
    if glued := counts["glued_answers"]:
        takes_separator = "{separator}" in manifest.template["source"]
        cure = "pass --separator '\\n'" if takes_separator else "write one into the template"
        lines.append(
            f"  separator  {number(glued, 'answer')} directly behind the prompt, without a space "
            f"or a line break: {cure}, or end the prompts with one"
        )
    if blocks := counts["empty_think_blocks"]:
        trained = counts["trained_think_blocks"]
        share = "none" if not trained else "all" if trained == blocks else f"{trained:,}"
        lines.append(
            f"  thinking   {number(blocks, 'empty think block')} of template "
            f"{manifest.template['name']}, {share} of them trained: those behind a prompt that "
            "does not end with one"
        )
    omitted = dict(counts["omitted"])
    if cut := omitted.pop(UNANSWERED, 0):
        lines.append(f"  cut        the {in_words([UNANSWERED])} in {number(cut, 'row')}")
    if omitted:
        what = ", ".join(f"{in_words([name])} in {number(n, 'row')}" for name, n in omitted.items())
        lines.append(f"  omitted    template {manifest.template['name']} does not write: {what}")
    if rewritten := counts["rewritten_histories"]:
        lines.append(
            f"  history    {number(rewritten, 'row')} in which the text before an answer is not "
            "what the model sees at inference: the template writes earlier turns, or its "
            "generation prompt, differently there"
        )
    if unclean := counts["unclean_boundaries"]:
        lines.append(
            f"  boundary   {number(unclean, 'row')} in which prompt and completion do not meet at "
            "a token boundary; end prompts without a space, and start completions with one"
        )
    if records := counts["records_with_control_strings"]:
        top = sorted(counts["control_strings"].items(), key=lambda item: -item[1])[:3]
        names = ", ".join(f"{token} in {n:,}" for token, n in top)
        lines.append(
            f"  control    {number(records, 'record')} with a control token's text ({names}), "
            f"kept as text; if it is meant as the token, pass --allow-control '{top[0][0]}'"
        )
    return lines


def _training(manifest: Manifest, output: str) -> list[str]:
    """Return the lines for the configuration of the trainer, if one was named."""
    if manifest.recipe.get("target", "hf") == "hf":
        return []
    target = target_of(manifest)
    lines = [f"  train      {target.trainer}; sftprep targets {target.name} says what to mind:"]
    for part in training_lines(manifest, output):
        lines += ["", *(f"    {line}".rstrip() for line in part.text.splitlines())]
    return lines


def _stops(manifest: Manifest) -> list[str]:
    """Say how many trained answers end with no token that stops the model, and what to do."""
    counts, lines = manifest.counts, []
    others = counts["other_stops"]
    is_role = manifest.recipe.get("train_on", "all") not in ("completion", "last", "all")
    what = "trained message" if is_role else "answer"
    if without := counts["answers_without_stop"] - sum(others.values()):
        cure = "Pass --end-of-turn TOKEN"
        if is_role:
            cure = "Use a template that writes a token behind each message"
        elif "endgeneration" in manifest.template["source"]:
            cure = "Move the template's {% endgeneration %} behind the token that ends an answer"
        lines.append(
            f"  stop       {number(without, what)} {_end(without)} without a trained stop "
            f"token: the model will not learn where to stop. {cure}"
        )
    for token, count in others.items():
        stops = ", ".join(manifest.tokenizer["stop_tokens"])
        more = "" if is_role else f", and pass --end-of-turn '{token}'"
        lines.append(
            f"  stop       {number(count, what)} {_end(count)} with {token}, and inference "
            f"stops only at {stops}. Add {token} to eos_token_id in generation_config.json{more}"
        )
    return lines


def _trains_answers(manifest: Manifest) -> bool:
    """Tell whether answers are trained, and nothing else."""
    return manifest.recipe.get("train_on", "completion") in ("completion", "last")


def _end(answers: int) -> str:
    return "ends" if answers == 1 else "end"


def _reasons(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
