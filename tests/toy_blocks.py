"""Blocks and settings for tests of the engine, small enough that each row can be written down."""

import itertools
import json
import sys
from collections.abc import Iterable
from dataclasses import replace

from toys import Started, byte_tokenizer

from sftprep.data.block import Block
from sftprep.data.result import BlockResult
from sftprep.settings import Settings
from sftprep.templates.loading import load_template
from sftprep.templates.template import ChatTemplate
from sftprep.tokenization.proof import prove_content_encoding

TOKENIZER = byte_tokenizer()
SETTINGS = Settings(
    tokenizer=TOKENIZER,
    encoding=prove_content_encoding(TOKENIZER),
    template=load_template("plain"),
    fields={},
    system=None,
    separator="",
    allowed=(),
    max_length=1 << 30,
    truncation="drop",
    train_on="completion",
    boundary="split",
    backend="auto",
)


def with_chat_template(source: str) -> Settings:
    """Settings with a chat template, with which even a single block needs a worker."""
    template = ChatTemplate(name="own", source=source, sha256="", arguments={}, today=None)
    return replace(SETTINGS, template=template)


CONSTANT_TEMPLATE = with_chat_template("a")
BROKEN_TEMPLATE = with_chat_template("{% for %}")
NAMES = ["in/a\x1b.jsonl"]
"""The path of the source of all blocks, with a character that a terminal would act on."""


def block(number: int, *, lines: int = 1) -> Block:
    """A block of ``lines`` equal records that hold the block's number."""
    data = json.dumps({"prompt": f"{number}:", "completion": str(number)}).encode() + b"\n"
    return Block(0, 0, number * lines + 1, 0, data * lines, None, "prompt-completion")


def rows_of(results: Iterable[BlockResult]) -> list[str]:
    """The rows of results as text, without the EOS token at the end of each."""
    rows: list[str] = []
    for result in results:
        assert result.batch is not None
        ids, ends = result.batch.input_ids.tolist(), result.batch.offsets.tolist()
        rows += ["".join(map(chr, ids[a : b - 1])) for a, b in itertools.pairwise(ends)]
    return rows


def rows(count: int) -> list[str]:
    """The rows that the first ``count`` blocks must give."""
    return [f"{number}:{number}" for number in range(count)]


def is_one_server(started: Started, workers: int) -> bool:
    """Whether one fork server was started, and no more workers than asked for became ready.

    Some workers may still have been loading when the run ended.
    """
    if not workers:
        return not started
    return len(started) == 1 and 0 < len(started.workers) <= workers


FAKE_WORKER = """
import os, socket, sys, time
sys.path[:] = {path!r}
from multiprocessing.connection import Connection
from sftprep.engine.local.messages import Ready, receive, send
pipes = [Connection(int(descriptor)) for descriptor in sys.argv[1].split(",")]
def send_ready():
    send(pipes[0], Ready(os.getpid()))
def receive_block():
    receive(pipes[0])  # the settings
    send_ready()
    receive(pipes[0])
{code}
"""


def fake_worker(command: list[str], code: str) -> list[str]:
    """Return a command that gets the pipes of a worker program, and runs this code instead."""
    python, option, _, _, descriptors = command[:5]
    return [python, option, FAKE_WORKER.format(path=sys.path, code=code), descriptors]
