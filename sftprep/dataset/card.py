"""The card of a dataset, ``README.md``: what it is and how it was made, for people and for hubs.

In     the manifest without the card; the command that makes the dataset.
Out    a text: a block of metadata in YAML, which model hubs and ``datasets`` read (where the shards
       of each split are, their columns, their rows), and then plain English.
Never  holds anything that changes from run to run, such as a time, a host or a path. Never lets a
       name from the data act as Markdown or YAML.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sftprep.dataset.durable import write_durably
from sftprep.dataset.files import CARD, SPLITS
from sftprep.dataset.manifest import Manifest
from sftprep.dataset.training import target_of, training_lines
from sftprep.formats.table import FORMATS
from sftprep.targets.contents import PER_DOCUMENT
from sftprep.targets.table import form_of
from sftprep.text import ascii_safe, number

MOST_INPUTS = 20
"""How many inputs are listed."""
TRUNCATION = {
    "error": "the run would have failed",
    "drop": "it was dropped",
    "keep-start": "its end was cut off",
    "keep-end": "its start was cut off",
    "prompt-start": "the start of its prompt was cut off",
    "completion-end": "the end of its completion was cut off",
    "balanced": "prompt and completion were both cut",
    "oldest-turns": "its oldest exchanges were left out",
}
"""What became of a record that is longer than the limit, for each value of ``--truncation``."""
TRAINED = {
    "completion": "The loss is on the answers, each with the token that ends it",
    "last": "The loss is on the last answer of each row, with the token that ends it",
    "all": "The loss is on all text",
}
"""What is trained, for each value of ``--train-on`` that is not a list of roles."""


def write_card(folder: Path, manifest: Manifest, command: str) -> Manifest:
    """Write the card of a dataset.

    Args:
        folder: the dataset's folder.
        manifest: the manifest, complete except for the card.
        command: the command line that makes the dataset.

    Returns:
        The manifest with the card's SHA-256.
    """
    data = card(manifest, command).encode()
    write_durably(folder / CARD, data)
    files = manifest.files | {CARD: hashlib.sha256(data).hexdigest()}
    return replace(manifest, files=files)


def card(manifest: Manifest, command: str) -> str:
    """Return the text of the card; the arguments are those of ``write_card``."""
    parts = [
        *_metadata(manifest),
        "",
        "# Token ids for supervised fine-tuning",
        "",
        f"{_what(manifest)} {_loss(manifest)}.",
        "",
        *_splits(manifest),
        "",
        "## How to load it",
        "",
        *_loading(manifest),
        "",
        *_training(manifest),
        "",
        "## How it was made",
        "",
        *_making(manifest),
        "",
        *_fenced(command),
        "",
        *_inputs(manifest),
        "",
        "## Files",
        "",
        *_files(manifest),
    ]
    return "\n".join(parts) + "\n"


def _metadata(manifest: Manifest) -> list[str]:
    """Return the block that hubs read. All values in it are sftprep's own words and numbers."""
    loads = _loads(manifest)
    rows = _rows_by_split(manifest)
    lines = ["---", "task_categories:", "- text-generation", "tags:", "- sft", "- tokenized"]
    lines += ["size_categories:", f"- {size_category(sum(rows.values()))}"]
    if not loads:
        return [*lines, "---"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split in rows:
        lines += [f"  - split: {split}", f"    path: {loads.format(split=split)}"]
    lines += ["dataset_info:", "  features:"]
    for name, kind in form_of(manifest.recipe).kinds.items():
        lines += [f"  - name: {name}", f"    sequence: {kind.name}"]
    lines.append("  splits:")
    sizes = {split: _uncompressed(manifest, split) for split in rows}
    for split, count in rows.items():
        lines += [f"  - name: {split}", f"    num_bytes: {sizes[split]}"]
        lines.append(f"    num_examples: {count}")
    lines.append(f"  download_size: {sum(shard['bytes'] for shard in manifest.shards)}")
    lines.append(f"  dataset_size: {sum(sizes.values())}")
    return [*lines, "---"]


def _loads(manifest: Manifest) -> str:
    """Return which files ``datasets.load_dataset`` reads; "" if it reads none."""
    return FORMATS[manifest.recipe["format"]].PLACES.loads


def _uncompressed(manifest: Manifest, split: str) -> int:
    """Return how many bytes the values of a split's columns have in memory."""
    shards = [shard for shard in manifest.shards if shard["split"] == split]
    size = 0
    for content in form_of(manifest.recipe).columns.values():
        values = "documents" if content in PER_DOCUMENT else "tokens"
        size += content.dtype.itemsize * sum(shard[values] for shard in shards)
    return size


def _rows_by_split(manifest: Manifest) -> dict[str, int]:
    rows = {
        split: sum(shard["rows"] for shard in manifest.shards if shard["split"] == split)
        for split in SPLITS
    }
    return {split: count for split, count in rows.items() if count}


def size_category(rows: int) -> str:
    """Return the name that hubs have for datasets of this size.

    >>> size_category(999), size_category(1000), size_category(3_000_000)
    ('n<1K', '1K<n<10K', '1M<n<10M')
    """
    steps = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    for power, step in enumerate(steps):
        if rows < 1000 * 10**power:
            return f"{steps[power - 1]}<n<{step}" if power else f"n<{step}"
    return f"n>{steps[-1]}"


def _what(manifest: Manifest) -> str:
    counts, rows = manifest.counts, sum(shard["rows"] for shard in manifest.shards)
    documents = sum(shard["documents"] for shard in manifest.shards)
    packed = f", which hold {number(documents, 'document')}" if documents != rows else ""
    return (
        f"{number(rows, 'row')} of token ids{packed}, made from {number(counts['read'], 'record')} "
        f"by sftprep {_code(manifest.libraries.get('sftprep', ''))} with the template "
        f"{_code(manifest.template['name'])} and the tokenizer "
        f"{_code(manifest.tokenizer['name'])}."
    )


def _loss(manifest: Manifest) -> str:
    train_on = manifest.recipe["train_on"]
    roles = ", ".join(map(_code, train_on.split(",")))
    return TRAINED.get(train_on, f"The loss is on the messages of {roles}")


def _splits(manifest: Manifest) -> list[str]:
    lines = ["| split | rows | documents | tokens | trained tokens | shards |"]
    lines.append("|---|---|---|---|---|---|")
    for split in _rows_by_split(manifest):
        shards = [shard for shard in manifest.shards if shard["split"] == split]
        sums = [
            sum(shard[key] for shard in shards)
            for key in ("rows", "documents", "tokens", "trained_tokens")
        ]
        cells = [split, *(f"{value:,}" for value in (*sums, len(shards)))]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _loading(manifest: Manifest) -> list[str]:
    tokenizer = manifest.tokenizer
    size, added = tokenizer["vocabulary_size"], list(tokenizer["added_tokens"])
    label = manifest.recipe["ignore_index"]
    rows = 'rows = datasets.load_dataset("DIR")["train"]  # this folder, or its name on a hub'
    loads = bool(_loads(manifest))
    lines = [
        "```python",
        *(["import datasets"] if loads else []),
        "import transformers",
        "",
        *([rows] if loads else []),
        'tokenizer = transformers.AutoTokenizer.from_pretrained("DIR/tokenizer")',
        "```",
        "",
        "| column | type | content |",
        "|---|---|---|",
        *(
            f"| {_code(name)} | list of {column.dtype.name} | {column.says.format(ignore=label)} |"
            for name, column in form_of(manifest.recipe).columns.items()
        ),
        "",
        f"{str(target_of(manifest).shift).capitalize()}.",
    ]
    if added:
        lines.append(
            f"{number(len(added), 'token')} added to the tokenizer "
            f"({', '.join(map(_code, added[:MOST_INPUTS]))}): call "
            f"`model.resize_token_embeddings({size})`."
        )
    return lines


def _training(manifest: Manifest) -> list[str]:
    """Say what to write to train on the dataset with its trainer, and what to mind."""
    target = target_of(manifest)
    lines = [f"## How to train on it with {target.trainer}", ""]
    for part in training_lines(manifest, "DIR"):
        lines += [f"```{part.language}", part.text, "```", ""]
    return lines + [f"- {note}" for note in target.notes]


def _making(manifest: Manifest) -> list[str]:
    recipe, counts, tokenizer = manifest.recipe, manifest.counts, manifest.tokenizer
    stops = ", ".join(map(_code, tokenizer["stop_tokens"])) or "none"
    return [
        f"- Template {_code(manifest.template['name'])}; its text is in `manifest.json`.",
        f"- Tokenizer {_code(tokenizer['name'])}: {tokenizer['vocabulary_size']:,} tokens; "
        f"inference stops at: {stops}.",
        f"- At most {recipe['max_length']:,} tokens for each record. If a record was longer, "
        f"{TRUNCATION.get(recipe['truncation'], _code(recipe['truncation']))}"
        f"{_truncated(counts)}.",
        f"- {number(counts['read'], 'record')} read{_extra(counts)}, "
        f"{number(counts['written'], 'document')} written"
        f"{_lost('dropped', counts['dropped'])}{_lost('rejected', counts['rejected'])}.",
        "",
        "The command, for the same inputs and tokenizer:",
    ]


def _truncated(counts: Mapping[str, Any]) -> str:
    cut = counts["truncated"] or counts["shortened"]
    return f": {number(cut, 'document')}" if cut else ""


def _extra(counts: Mapping[str, Any]) -> str:
    return f", which gave {counts['extra_examples']:,} more" if counts["extra_examples"] else ""


def _lost(word: str, reasons: Mapping[str, int]) -> str:
    if not reasons:
        return ""
    listed = ", ".join(f"{count:,} {_code(reason)}" for reason, count in sorted(reasons.items()))
    return f", {sum(reasons.values()):,} {word} ({listed})"


def _inputs(manifest: Manifest) -> list[str]:
    lines = ["| input | records | documents | SHA-256 |", "|---|---|---|---|"]
    for entry in manifest.inputs[:MOST_INPUTS]:
        counts = f"{entry['read']:,} | {entry['written']:,}"
        lines.append(f"| {_cell(entry['name'])} | {counts} | {_cell(entry['sha256'])} |")
    more = len(manifest.inputs) - MOST_INPUTS
    return [*lines, "", f"and {number(more, 'more input')}"] if more > 0 else lines


def _files(manifest: Manifest) -> list[str]:
    folders = dict.fromkeys(shard["name"].partition("/")[0] for shard in manifest.shards)
    also = " and what describes them" if manifest.files else ""
    lines = [
        f"- {', '.join(f'`{name}/`' for name in folders)}: the shards{also}, and nothing else",
        *(f"- `{name}`: describes the shards" for name in manifest.files if "/" not in name),
        "- `index/`: for each shard, where each document comes from, and who wrote which token",
        "- `tokenizer/`: the tokenizer",
    ]
    lines += [f"- `{name}`: records that gave no row, and why" for name in manifest.ledgers]
    return [
        *lines,
        "- `manifest.json`: the recipe, all counts, and the SHA-256 of every file: "
        "`sftprep verify DIR` checks them",
    ]


def _fenced(text: str) -> list[str]:
    """Return a text as a block of code, whatever it holds."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", text, fence]


def _code(text: str) -> str:
    """Return a text, which may come from anywhere, as code in Markdown."""
    shown = ascii_safe(text).replace("`", "'")
    return f"`{shown}`" if shown.strip() else "` `"


def _cell(text: str) -> str:
    """Return a text as code in a table."""
    return _code(text).replace("|", "\\|")
