"""The shards of `sftprep prepare`, compared row by row with the oracle (`oracle.py`).

Real data goes through real tokenizers, with both backends and several workers. Then come texts and
tokenizers that are difficult on purpose, every truncation strategy and every choice of what is
trained. The command is run as a user runs it. Tests whose data or package is missing are skipped,
and the reason names it.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from oracle import (
    IGNORE,
    Boundary,
    Dropped,
    Encoder,
    Oracle,
    Row,
    Strategy,
    Template,
    TrainOn,
    finish,
    infer_seqlen,
)
from real_tokenizers import deepseek, mistral

pytestmark = pytest.mark.conformance

REPO = Path(__file__).resolve().parents[2]
SHARED = REPO.parent / "shared"
CHATML = ["<|im_start|>", "<|im_end|>"]
LONG = 1_000_000  # no row of the data is longer

Record = dict[str, Any]
Variant = tuple[str, int]  # backend, workers

EVERY_VARIANT: tuple[Variant, ...] = (
    ("gigatoken", 1),
    ("hf", 1),
    ("gigatoken", 2),
    ("hf", 2),
)
TWO_VARIANTS: tuple[Variant, ...] = (("gigatoken", 1), ("hf", 2))
ONE_VARIANT: tuple[Variant, ...] = (("auto", 1),)


# --- data ---------------------------------------------------------------------------------------


PAIRS = [
    ("Tell me.\n", "Yes.<|endoftext|>"),
    ("<|im_start|>system\nobey<|im_end|>\n", "<|im_end|>\n<|im_start|>user\nand?"),
    ("</s><s>[INST] x [/INST]", "[/INST] </s> <unk>"),
    ("<｜User｜>hi<｜Assistant｜>", "<｜end▁of▁sentence｜> <｜fim▁hole｜>"),
    ("Q: a ", "b"),
    ("Q: a", " b"),
    ("Q: a ", " b"),
    ("Q: a", "b"),
    ("Q:\n", "\nA"),
    ("Q:\n\n", "\n\nA\n\n"),
    ("\n\nQ:\r\n", "\r\nA\r\n"),
    ("  lead", "trail  "),
    ("\tq", "\ta\t"),
    (" ", "x"),
    ("caf", "e\u0301"),
    ("e", "\u0301 an accent of its own"),
    ("👩", "\u200d👩\u200d👧 family"),
    ("한", "글 \u1112\u1161\u11ab"),
    ("a\u2028b", "c\u2029d\u0085e"),
    ("\u00a0nbsp\u3000", "\u3000ideographic\u2009thin"),
    ("don", "'t we'LL I'm"),
    ("12", "345678901"),
    ("１２３", "４５ ٣٤ ²½"),
    ("\ufb01 ligature", "ﬀ ﬃ"),
    ("𝔘nicode", "𝟙𝟚 🇩🇪"),
    ("\U0001fae8 new emoji \U0001fadf", "newer \u1c8a \U00010d40 \ua7dc \U0001e5d0 \u0378"),
    ("\x00 nul\x1c", "\x1f \x7f \x0b \x0c end"),
    ("a" + " " * 40, " " * 30 + "b" + "\n" * 9 + " \n \n"),
    ("▁▁a ▁", "▁b ▁▁ c"),
    ("Ġa", "Ċb"),
    ("\ufeffbom", "\ufeff end"),
    ("\ufffd", "\ufffe \uffff \ue000"),
    ("问：中文和English混排，", "答：好的。\n１．标点“符号”"),
    ("ไทย", "ำภาษา हिन्दी ि"),
    ("x" * 300, "y" * 300),
    ("http://a.b/c?d=e&f#g", "_snake_case CamelCase __init__"),
]
"""Prompts and completions with difficult boundaries, or with the text of control tokens."""

TALKS: list[Record] = [
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi there"},
            {"role": "assistant", "content": " Hello.\n"},
            {"role": "user", "content": "\nMore <|im_end|> please"},
            {"role": "assistant", "content": "More."},
        ]
    },
    {
        "messages": [
            {"role": "user", "content": "One"},
            {"role": "assistant", "content": "Eins", "train": False},
            {"role": "user", "content": "Two"},
            {"role": "assistant", "content": "Zwei"},
            {"role": "user", "content": "Three"},
            {"role": "assistant", "content": "Drei"},
        ]
    },
    {
        "messages": [
            {"role": "user", "content": "One"},
            {"role": "assistant", "content": "Eins", "weight": 1},
            {"role": "user", "content": "Two"},
            {"role": "assistant", "content": "Zwei", "weight": 0},
        ]
    },
]
"""Conversations of several turns, some of which must not be trained."""

OLD_TALKS: list[Record] = [
    {
        "instruction": "And in French?",
        "input": "",
        "output": "Trois",
        "system": "You count.",
        "history": [["Three in German?", "Drei"], ["In Spanish?", "Tres"]],
    },
    {"instruction": "Count", "input": "to two", "output": "1, 2", "system": "You count."},
    {"instruction": "Next", "input": "", "output": "3", "history": [["First", "1"]]},
]
"""Instruction records with a system prompt and a history."""


def shared(name: str) -> Path:
    """Return a file of the shared folder, or skip the test."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is missing")
    return path


@dataclass
class Data:
    """Input files and the records they hold, in order."""

    files: list[Path] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def add(self, path: Path, records: Iterable[Record]) -> None:
        """Add a file; write it as JSON Lines if it does not exist."""
        records = list(records)
        if not path.exists():
            path.write_text(
                "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records),
                encoding="utf-8",
            )
        self.files.append(path)
        self.records += records


def alpaca_records(name: str) -> list[Record]:
    """Read one of the two Alpaca sets."""
    records: list[Record] = json.loads(shared(f"data/{name}").read_text(encoding="utf-8"))
    return records


def v1_records() -> list[Record]:
    """Read the v1 demo set, with lists of content parts joined to strings."""
    lines = shared("data/lf_v1_sft_demo.jsonl").read_text(encoding="utf-8").split("\n")
    return [
        {
            "messages": [
                {
                    "role": message["role"],
                    "content": "".join(part["value"] for part in message["content"]),
                }
                for message in json.loads(line)["messages"]
            ]
        }
        for line in lines
        if line
    ]


def t0_records() -> list[Record]:
    """Read the T0 set."""
    with pa.input_stream(str(shared("data/t0_20k.jsonl.zst"))) as stream:
        text = stream.read().decode()
    return [json.loads(line) for line in text.split("\n") if line]


def make_data(name: str, folder: Path) -> Data:
    """Make the set of input files with this name."""
    folder.mkdir(exist_ok=True)
    data = Data()
    hostile: list[Record] = [{"prompt": prompt, "completion": end} for prompt, end in PAIRS]
    instructions: list[Record] = [
        {"instruction": f"{prompt}{end}", "input": prompt if place % 2 else "", "output": end}
        for place, (prompt, end) in enumerate(PAIRS)
    ]
    match name:
        case "hostile":
            data.add(folder / "pairs.jsonl", hostile)
            data.add(folder / "instructions.jsonl", instructions)
        case "talks":
            data.add(folder / "messages.jsonl", TALKS)
            data.add(folder / "history.jsonl", OLD_TALKS)
        case "real":
            for file in ("lf_alpaca_en_demo.json", "lf_alpaca_zh_demo.json"):
                data.add(shared(f"data/{file}"), alpaca_records(file))
            data.add(folder / "v1.jsonl", v1_records())
            data.add(folder / "t0.jsonl", t0_records()[::16])
        case "sample":
            data.add(folder / "en.jsonl", alpaca_records("lf_alpaca_en_demo.json")[::4])
            data.add(folder / "zh.jsonl", alpaca_records("lf_alpaca_zh_demo.json")[::4])
            data.add(folder / "v1.jsonl", v1_records()[::4])
            data.add(folder / "t0.jsonl", t0_records()[::80])
        case "t0":
            data.add(shared("data/t0_20k.jsonl.zst"), t0_records())
        case "lengths":
            data.add(folder / "en.jsonl", alpaca_records("lf_alpaca_en_demo.json")[::3])
            data.add(folder / "t0.jsonl", t0_records()[::100])
        case _:
            raise AssertionError(name)
    return data


# --- tokenizers ---------------------------------------------------------------------------------


def save_json(folder: Path, tokenizer: Record, config: Record) -> Path:
    """Write a tokenizer folder."""
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def added(content: str, id_: int, **flags: bool) -> Record:
    """Return an entry of `added_tokens`."""
    off = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": id_, "content": content, **off, **flags}


def make_tokenizer(name: str, lab: "Lab") -> Path:
    """Make or find the tokenizer of that name, or skip the test."""
    folder = lab.tmp / f"tokenizer-{name}"
    if name == "gpt2":
        return shared("tokenizers/gpt2")
    if name == "sample":
        path = REPO / "sample_data" / "tokenizer"
        return path if path.exists() else pytest.skip(f"{path} is missing")
    if name == "deepseek":
        return deepseek()
    if name == "mistral":
        return mistral(folder)
    base, _, change = name.partition("-")
    source = lab.tokenizer(base)
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    config: Record = {"tokenizer_class": "PreTrainedTokenizerFast"}
    ends = "<|endoftext|>" if base == "gpt2" else "</s>"
    config |= {"eos_token": ends, "bos_token": ends if base == "gpt2" else "<s>"}
    top = max(tokenizer["model"]["vocab"].values()) + 1
    match change:
        case "prefix":  # a space in front of each text, as RoBERTa's
            tokenizer["pre_tokenizer"]["add_prefix_space"] = True
        case "strip" | "rstrip":  # control tokens that swallow whitespace, as Phi-3's do
            left = change == "strip"
            tokenizer["added_tokens"] = [
                added("<|endoftext|>", top - 1, special=True, lstrip=left),
                added("<|im_start|>", top, special=True, lstrip=left, rstrip=True),
                added("<|im_end|>", top + 1, special=True, lstrip=left, rstrip=True),
            ]
        case "blanks":  # whitespace among the added tokens, as GPT-NeoX's: text, not control
            tokenizer["added_tokens"] += [
                added("<|control|>", top, normalized=True),
                added("    ", top + 1, normalized=True),
                added("  ", top + 2, normalized=True),
                added("\n\n", top + 3, normalized=True),
            ]
        case "nfc":  # a normalizer that changes lengths
            tokenizer["normalizer"] = {"type": "NFC"}
        case "always":  # a space after each control token
            tokenizer["pre_tokenizer"]["prepend_scheme"] = "always"
        case "legacy":  # the same by a normalizer, as Llama-2's
            tokenizer["pre_tokenizer"] = None
            tokenizer["normalizer"] = {
                "type": "Sequence",
                "normalizers": [
                    {"type": "Prepend", "prepend": "▁"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                ],
            }
        case _:
            raise AssertionError(name)
    return save_json(folder, tokenizer, config)


# --- runs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One combination of data, tokenizer and options."""

    data: str
    tokenizer: str
    template: Template
    boundary: Boundary
    max_length: int = LONG
    strategy: Strategy = "drop"
    train_on: TrainOn = "completion"
    variants: tuple[Variant, ...] = TWO_VARIANTS

    def __str__(self) -> str:
        """Return what differs between jobs, as the name of the test."""
        name = [self.data, self.tokenizer, self.template, self.boundary]
        name += [f"{self.strategy}-{self.max_length}"] if self.max_length != LONG else []
        return "-".join(name + ([self.train_on] if self.train_on != "completion" else []))

    @property
    def tokens(self) -> list[str]:
        """The tokens that this template needs."""
        return CHATML if self.template == "chatml" else []


class Lab:
    """Everything that is made once and used by several tests."""

    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.pool = ThreadPoolExecutor(max_workers=2)
        self.data: Callable[[str], Data] = cache(lambda name: make_data(name, tmp / name))
        self.tokenizer: Callable[[str], Path] = cache(lambda name: make_tokenizer(name, self))
        self._encoder = cache(self._make_encoder)
        self.start = cache(self._start)

    def encoder(self, name: str, template: Template) -> Encoder:
        """Return the oracle's encoder, with the tokens that this template needs."""
        return self._encoder(name, template == "chatml")

    def _make_encoder(self, name: str, chatml: bool) -> Encoder:
        from tokenizers import AddedToken
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.tokenizer(name))
        for token in CHATML if chatml else []:
            if token not in tokenizer.get_vocab():
                tokenizer.add_tokens([AddedToken(token, special=True, normalized=False)])
        return Encoder(tokenizer)

    def _start(self, job: Job) -> dict[Variant, Future[Path]]:
        """Start the command for each variant of the job."""
        inputs, tokenizer = self.data(job.data).files, self.tokenizer(job.tokenizer)
        return {
            variant: self.pool.submit(self.prepare, job, variant, inputs, tokenizer)
            for variant in job.variants
        }

    def prepare(self, job: Job, variant: Variant, inputs: list[Path], tokenizer: Path) -> Path:
        """Run the command and return the folder it wrote."""
        backend, workers = variant
        output = self.tmp / f"out-{job}-{backend}-{workers}"
        options = {
            "--output": output,
            "--tokenizer": tokenizer,
            "--template": job.template,
            "--boundary": job.boundary,
            "--backend": backend,
            "--max-length": job.max_length,
            "--truncation": job.strategy,
            "--train-on": job.train_on,
            "--workers": workers,
            "--format": "parquet",
        }
        command = [sys.executable, "-m", "sftprep", "prepare", *map(str, inputs)]
        for flag, value in options.items():
            command += [flag, str(value)]
        for token in job.tokens:
            command += ["--add-token", token]
        command += ["--overwrite", "--quiet", "--json"]
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-3000:]}"
        json.loads(done.stdout)
        return output

    def expected(self, job: Job) -> list[tuple[Record, Row]]:
        """Return the rows that the oracle gives for the job, each with its record."""
        encoder = self.encoder(job.tokenizer, job.template)
        oracle = Oracle(encoder, job.template, job.boundary, job.train_on)
        rows: list[tuple[Record, Row]] = []
        for record in self.data(job.data).records:
            row = finish(oracle.tokens(record), job.max_length, job.strategy)
            if not isinstance(row, Dropped):
                rows.append((record, row))
        return rows


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Share data, tokenizers and finished runs between the tests."""
    made = Lab(tmp_path_factory.mktemp("oracle"))
    yield made
    made.pool.shutdown(cancel_futures=True)


def shards(folder: Path) -> list[Path]:
    """Return the shards of a finished data set, in order."""
    assert (folder / "manifest.json").exists()
    return sorted(folder.glob("data/train-*.parquet"))


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each shard."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in shards(folder)}


def read_rows(folder: Path) -> Iterator[Row]:
    """Read the rows of a finished data set."""
    for path in shards(folder):
        for row in pq.read_table(path).to_pylist():
            assert row["attention_mask"] == [1] * len(row["input_ids"])
            yield Row(row["input_ids"], row["labels"])


def difference(place: int, record: Record, wanted: Row, got: Row) -> str:
    """Describe where two rows first differ."""
    pairs = list(zip(zip(*wanted, strict=True), zip(*got, strict=True), strict=False))
    at = next((at for at, (one, other) in enumerate(pairs) if one != other), len(pairs))
    around = slice(max(at - 4, 0), at + 6)
    return (
        f"row {place}: lengths {len(wanted.input_ids)} (oracle) and {len(got.input_ids)}, first "
        f"difference at {at}\n  record {json.dumps(record, ensure_ascii=False)[:600]}\n"
        f"  oracle ids {wanted.input_ids[around]} labels {wanted.labels[around]}\n"
        f"  shard  ids {got.input_ids[around]} labels {got.labels[around]}"
    )


def compare(expected: Sequence[tuple[Record, Row]], folder: Path) -> None:
    """Fail with the first differences between the oracle and a finished data set."""
    got = list(read_rows(folder))
    wrong = [
        difference(place, record, row, other)
        for place, ((record, row), other) in enumerate(zip(expected, got, strict=False))
        if row != other
    ]
    count = f"{len(expected)} rows from the oracle, {len(got)} in the shards, {len(wrong)} differ"
    assert not wrong, "\n".join([count, *wrong[:5]])
    assert len(expected) == len(got), count
    print(count)


def check(lab: Lab, job: Job) -> None:
    """Compare each variant of a job with the oracle; compare equal files only once."""
    runs = lab.start(job)
    expected = lab.expected(job)
    assert expected
    seen: list[dict[str, str]] = []
    for run in runs.values():
        folder = run.result()
        if hashes(folder) not in seen:
            compare(expected, folder)
            seen.append(hashes(folder))


# --- the tests ----------------------------------------------------------------------------------

TEMPLATES: tuple[Template, ...] = get_args(Template)
BOUNDARIES: tuple[Boundary, ...] = get_args(Boundary)
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

REAL = [
    Job("real" if tokenizer == "gpt2" else "sample", tokenizer, template, boundary)
    for tokenizer in ("gpt2", "deepseek", "mistral", "sample")
    for template in TEMPLATES
    for boundary in BOUNDARIES
]
WHOLE = [  # the whole T0 set once; the other combinations use a part of it
    Job("t0", "gpt2", "plain", "split", variants=EVERY_VARIANT),
]

TOKENIZERS = (
    "gpt2",
    "gpt2-prefix",
    "gpt2-strip",
    "gpt2-blanks",
    "gpt2-nfc",
    "deepseek",
    "mistral",
    "mistral-always",
    "mistral-legacy",
    "sample",
)
STARTS_MATTER = ("gpt2", "gpt2-prefix", "mistral", "mistral-legacy")
HOSTILE = [
    Job(
        "hostile",
        tokenizer,
        template,
        boundary,
        # gigatoken cannot encode whitespace tokens exactly, so the command refuses it there.
        variants=(
            ("auto" if tokenizer == "gpt2-blanks" else "gigatoken", 1),
            *([("hf", 1)] if boundary == "split" else []),
        ),
    )
    for tokenizer in TOKENIZERS
    for template in TEMPLATES
    for boundary in BOUNDARIES
    if template == "chatml" or (template == "plain" and tokenizer in STARTS_MATTER)
]

CUT: tuple[tuple[str, Template], ...] = (
    ("gpt2", "alpaca"),
    ("gpt2", "chatml"),
    ("mistral", "plain"),
)
TRUNCATED = [
    Job("lengths", tokenizer, template, "split", length, strategy, variants=ONE_VARIANT)
    for tokenizer, template in CUT
    for length in (20, 100)
    for strategy in STRATEGIES
    if (length == 100 and (template == "chatml" or strategy != "drop"))
    or (strategy in ("prompt-start", "balanced") and template != "alpaca")
]

TALK_LENGTHS: tuple[tuple[int, TrainOn], ...] = (
    (30, "completion"),
    (30, "all"),
    (44, "completion"),
)
TRUNCATED += [
    Job("talks", "gpt2", "chatml", "split", length, strategy, train_on, ONE_VARIANT)
    for length, train_on in TALK_LENGTHS
    for strategy in STRATEGIES
]

TRAINED = [
    Job("talks", "gpt2", "chatml", boundary, train_on=train_on, variants=ONE_VARIANT)
    for boundary in BOUNDARIES
    for train_on in get_args(TrainOn)
] + [
    Job("talks", "gpt2-rstrip", "chatml", boundary, variants=ONE_VARIANT) for boundary in BOUNDARIES
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_oracle_agrees_with_the_whole_tokenizer(
    lab: Lab, name: str, template: Template
) -> None:
    """If no content looks like a control token, joint is HF's encoding of the whole text."""
    encoder = lab.encoder(name, template)
    tokenizer = encoder.whole
    joint, split = (Oracle(encoder, template, boundary) for boundary in ("joint", "split"))
    seen = 0
    for record in lab.data("hostile").records:
        if any(mark in text for mark in encoder.control for text in record.values()):
            continue
        pieces = [piece for piece in joint.pieces(record) if not piece.implied]
        text, prompt = (
            "".join(
                piece.what if isinstance(piece.what, str) else tokenizer.decode([piece.what])
                for piece in part
            )
            for part in (pieces, takewhile(lambda piece: not piece.trained, pieces))
        )
        adds = template != "chatml"
        whole = tokenizer(text, add_special_tokens=adds)["input_ids"]
        assert [token.id for token in joint.tokens(record)] == whole, record
        fed = tokenizer(prompt, add_special_tokens=adds)["input_ids"]
        ids = [token.id for token in takewhile(lambda t: not t.trained, split.tokens(record))]
        assert ids == fed, record
        seen += 1
    assert seen > 50


@pytest.mark.parametrize(
    ("lengths", "shared_out"),
    [
        ((100, 10, 50), (40, 10)),
        ((10, 100, 50), (10, 40)),
        ((60, 60, 50), (25, 25)),
        ((30, 30, 100), (30, 30)),
    ],
)
def test_the_oracle_divides_the_limit_as_published(
    lengths: tuple[int, int, int], shared_out: tuple[int, int]
) -> None:
    """The lengths for `balanced` are those of the published examples."""
    assert infer_seqlen(*lengths) == shared_out


@pytest.mark.parametrize("job", REAL + WHOLE, ids=str)
def test_real_rows_equal_the_oracle(lab: Lab, job: Job) -> None:
    """Each row of real data is the oracle's row of its record."""
    check(lab, job)


@pytest.mark.parametrize("job", HOSTILE, ids=str)
def test_hostile_rows_equal_the_oracle(lab: Lab, job: Job) -> None:
    """With difficult texts and tokenizers, too, each row is the oracle's."""
    check(lab, job)


@pytest.mark.parametrize("job", TRUNCATED, ids=str)
def test_truncated_rows_equal_the_oracle(lab: Lab, job: Job) -> None:
    """Each strategy keeps and drops the same tokens and rows as the oracle."""
    check(lab, job)


@pytest.mark.parametrize("job", TRAINED, ids=str)
def test_trained_turns_equal_the_oracle(lab: Lab, job: Job) -> None:
    """The loss is on the turns that --train-on selects and that no record excludes."""
    check(lab, job)


@pytest.mark.parametrize(
    "job", [job for job in REAL + WHOLE + HOSTILE if len(job.variants) > 1], ids=str
)
def test_bytes_depend_on_neither_backend_nor_workers(lab: Lab, job: Job) -> None:
    """The same input and options give the same files, with any backend and number of workers."""
    first, *others = [hashes(run.result()) for run in lab.start(job).values()]
    assert first
    assert all(other == first for other in others)


def test_the_saved_tokenizer_has_the_ids_of_the_shards(lab: Lab) -> None:
    """The tokenizer that is saved with the shards has the ids that the rows use."""
    from transformers import AutoTokenizer

    job = next(job for job in HOSTILE if (job.tokenizer, job.template) == ("gpt2", "chatml"))
    folder = lab.start(job)["gigatoken", 1].result()
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    start, end = tokenizer.convert_tokens_to_ids(CHATML)
    control = lab.encoder("gpt2", "chatml").control
    assert {"<|im_start|>": start, "<|im_end|>": end} == {name: control[name] for name in CHATML}
    for row in read_rows(folder):
        assert row.input_ids[0] == start
        assert [label for label in row.labels if label != IGNORE][-1] == end
