"""Check the sample records, and train the sample tokenizer on them.

The records were written by hand for this project, in English and Chinese. You may edit them:

    prompt_completion.jsonl   prompt and completion; some prompts contain role markers of their own
    instruction.jsonl         instruction, input, output; some with a system prompt or a history
    instruction_zh.json       the same schema, as one JSON array, all in Chinese
    messages.jsonl            chats; some answers are marked as not to be trained
    sharegpt.jsonl            chats as lists of from and value
    bad.jsonl                 bad chats, each wrong in one way (BAD_LINES), and a few good ones

The folder `tokenizer/` is generated. It holds a byte-level BPE of 4,096 tokens, trained on all
records except those of bad.jsonl, and a ChatML template that marks the assistant's answers. After
you edit a record, generate the tokenizer again:

    python sample_data/make_sample_data.py [FOLDER]

FOLDER is the folder to write the tokenizer to; the default is `tokenizer/` beside this file. The
same records give the same bytes. The script stops with an error if a record breaks its schema, or
if a text changes when it is encoded and decoded.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

Json: TypeAlias = Any  # what json.loads returns

HERE = Path(__file__).resolve().parent
VOCAB_SIZE = 4096
MODEL_MAX_LENGTH = 4096
END, PAD, TURN_START, TURN_END = "<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"

BAD_LINES = {  # the line's number in bad.jsonl: what is wrong with it
    2: "not JSON",  # it ends in the middle of a string
    3: "not an object",
    5: "content is missing",
    6: "content is null",
    7: "unknown role 'function'",
    8: "two user turns in a row",
    9: "empty assistant content",
    10: "the last turn is not the assistant's",
    11: "messages is missing",  # a prompt/completion record
    12: "messages is not a list",
    13: "not UTF-8",
    14: "",  # a blank line is neither a record nor an error
    15: "a lone surrogate",
}

TOKENIZER_CONFIG = {
    "additional_special_tokens": [TURN_START, TURN_END],
    "clean_up_tokenization_spaces": False,
    "eos_token": END,
    "model_max_length": MODEL_MAX_LENGTH,
    "pad_token": PAD,
    "tokenizer_class": "PreTrainedTokenizerFast",
}

CHAT_TEMPLATE = r"""
{#- ChatML. What the assistant writes stands in a generation block: text and end of turn. -#}
{%- for message in messages -%}
    {{- '<|im_start|>' + message['role'] + '\n' -}}
    {%- if message['role'] == 'assistant' -%}
        {%- generation -%}
            {{- message['content'] + '<|im_end|>' -}}
        {%- endgeneration -%}
    {%- else -%}
        {{- message['content'] + '<|im_end|>' -}}
    {%- endif -%}
    {{- '\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\n' -}}
{%- endif -%}
""".lstrip()


# --- reading ---------------------------------------------------------------------------------


def parse(line: bytes) -> Json:
    """Return the JSON value of a line; raise ValueError with one of the reasons in BAD_LINES."""
    try:
        value = json.loads(line.decode())
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as e:
        raise ValueError("not UTF-8") from e
    except UnicodeEncodeError as e:
        raise ValueError("a lone surrogate") from e
    except json.JSONDecodeError as e:
        raise ValueError("not JSON") from e
    return value


def read_lines(path: Path) -> list[bytes]:
    """Return the lines of a file without their newlines; the last one must have a newline too."""
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        raise ValueError("the last line does not end with a newline")
    return lines


def read_records(path: Path) -> list[Json]:
    """Return the records of a JSON Lines file or of a JSON array.

    The file must have the bytes that json.dumps(..., ensure_ascii=False) gives for the records.
    """
    is_array = path.suffix == ".json"
    units = [path.read_bytes().removesuffix(b"\n")] if is_array else read_lines(path)
    values = [parse(unit) for unit in units]
    for number, (unit, value) in enumerate(zip(units, values, strict=True), start=1):
        if unit != json.dumps(value, ensure_ascii=False, indent=2 if is_array else None).encode():
            raise ValueError(f"record {number} is not formatted as json.dumps does it")
    return list(values[0]) if is_array else values


def texts(value: Json) -> Iterator[str]:
    """Yield every string in a JSON value, in order, but not the keys of objects."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


# --- schemas ---------------------------------------------------------------------------------


def check(is_right: bool, problem: str) -> None:
    """Raise ValueError with the problem if something is not right."""
    if not is_right:
        raise ValueError(problem)


def check_keys(record: Json, required: set[str], optional: set[str]) -> None:
    """Check that an object has all required keys, and otherwise only optional ones."""
    check(isinstance(record, dict), "not an object")
    check(required <= record.keys() <= required | optional, f"unexpected keys {sorted(record)}")


def check_prompt_completion(record: Json) -> None:
    """Check {"prompt", "completion"}: two texts that are not empty."""
    check_keys(record, {"prompt", "completion"}, set())
    check(all(isinstance(text, str) and text for text in record.values()), "a text is empty")


def check_instruction(record: Json) -> None:
    """Check {"instruction", "output", "input"?, "system"?, "history"?}."""
    check_keys(record, {"instruction", "output"}, {"input", "system", "history"})
    history = record.get("history", [])
    check(isinstance(history, list) and all(len(pair) == 2 for pair in history), "bad history")
    singles = [value for key, value in record.items() if key != "history"]
    strings = [*singles, *(text for pair in history for text in pair)]
    check(all(isinstance(text, str) for text in strings), "a text is not a string")
    check(bool(record["instruction"] and record["output"]), "a text is empty")


def check_messages(record: Json) -> None:
    """Check {"messages": [...]}: an optional system turn, then user and assistant alternate."""
    check(isinstance(record, dict), "not an object")
    check("messages" in record, "messages is missing")
    check(isinstance(record["messages"], list), "messages is not a list")
    for message in record["messages"]:
        check_message(message)
    check_turns([message["role"] for message in record["messages"]])


def check_message(message: Json) -> None:
    """Check the fields of one message."""
    check(isinstance(message, dict), "a message is not an object")
    role = message.get("role")
    check(role in {"system", "user", "assistant"}, f"unknown role {role!r}")
    check("content" in message, "content is missing")
    check(message["content"] is not None, "content is null")
    check(isinstance(message["content"], str), "content is not a string")
    check(bool(message["content"]), f"empty {role} content")
    check(type(message.get("train", True)) is bool, "train is neither true nor false")
    check(message.get("weight", 1) in {0, 1}, "weight is neither 0 nor 1")


def check_turns(roles: list[str]) -> None:
    """Check the order of the roles of a chat."""
    turns = roles[1:] if roles[:1] == ["system"] else roles
    for role, following in pairwise(turns):
        check(role != following, f"two {role} turns in a row")
    check(turns[:1] == ["user"] and "system" not in turns, "the first turn is not the user's")
    check(turns[-1] == "assistant", "the last turn is not the assistant's")


def check_sharegpt(record: Json) -> None:
    """Check {"conversations": [{"from", "value"}, ...]}: translate to messages, and check those."""
    check_keys(record, {"conversations"}, set())
    roles = {"system": "system", "human": "user", "gpt": "assistant"}
    check_messages(
        {
            "messages": [
                {"role": roles.get(turn["from"], turn["from"]), "content": turn["value"]}
                for turn in record["conversations"]
            ]
        }
    )


GOOD_FILES: dict[str, tuple[int, Callable[[Json], None]]] = {  # name: number of records, schema
    "prompt_completion.jsonl": (40, check_prompt_completion),
    "instruction.jsonl": (40, check_instruction),
    "instruction_zh.json": (30, check_instruction),
    "messages.jsonl": (30, check_messages),
    "sharegpt.jsonl": (25, check_sharegpt),
}


def read_good(name: str) -> list[Json]:
    """Return the records of a good file; raise ValueError for the first bad record."""
    expected, check_record = GOOD_FILES[name]
    records = read_records(HERE / name)
    for number, record in enumerate(records, start=1):
        try:
            check_record(record)
        except ValueError as e:
            raise ValueError(f"record {number}: {e}") from e
    check(len(records) == expected, f"found {len(records)} records; GOOD_FILES says {expected}")
    return records


def fault(line: bytes) -> str | None:
    """Return what is wrong with a line of bad.jsonl: "" for a blank line, None for a good one."""
    if not line:
        return ""
    try:
        check_messages(parse(line))
    except ValueError as e:
        return str(e)
    return None


def check_bad() -> int:
    """Check that each line of bad.jsonl is wrong as BAD_LINES says; return the number of lines."""
    lines = read_lines(HERE / "bad.jsonl")
    for number, line in enumerate(lines, start=1):
        found, expected = fault(line), BAD_LINES.get(number)
        check(found == expected, f"line {number}: {found!r}, expected {expected!r}")
    return len(lines)


# --- the tokenizer ---------------------------------------------------------------------------


def train(corpus: list[str]) -> Tokenizer:
    """Train a byte-level BPE. It knows all 256 bytes, so that decoding restores every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[END, PAD, TURN_START, TURN_END],
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a folder that AutoTokenizer.from_pretrained can load."""
    folder.mkdir(parents=True, exist_ok=True)
    config = json.dumps(TOKENIZER_CONFIG, indent=2, ensure_ascii=False) + "\n"
    (folder / "tokenizer.json").write_bytes(tokenizer.to_str(pretty=True).encode() + b"\n")
    (folder / "tokenizer_config.json").write_bytes(config.encode())
    (folder / "chat_template.jinja").write_bytes(CHAT_TEMPLATE.encode())


def check_tokenizer(folder: Path, corpus: list[str], chats: list[Json]) -> None:
    """Load the folder as users do; check the round trip of texts and what the template marks."""
    from transformers import AutoTokenizer  # slow to import, so not before the records are checked

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    check(len(tokenizer) == VOCAB_SIZE, f"{len(tokenizer)} tokens, expected {VOCAB_SIZE}")
    for text in corpus:
        check(
            tokenizer.decode(tokenizer.encode(text)) == text,
            f"decoding does not restore: {text[:60]}",
        )
    for chat in chats:
        encoded = tokenizer.apply_chat_template(
            chat["messages"], return_dict=True, return_assistant_tokens_mask=True
        )
        pairs = zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
        marked = tokenizer.decode([token for token, is_marked in pairs if is_marked])
        answers = [m["content"] for m in chat["messages"] if m["role"] == "assistant"]
        check(
            marked == "".join(a + TURN_END for a in answers), f"the template marks: {marked[:60]}"
        )


@contextmanager
def errors_in(what: str) -> Iterator[None]:
    """Turn a ValueError into the end of the script, with one line that says where the error is."""
    try:
        yield
    except ValueError as e:
        raise SystemExit(f"{what}: {e}") from e


def main(folder: Path) -> None:
    """Check the records, train and write the tokenizer, check it, and print a summary."""
    records = {}
    for name in GOOD_FILES:
        with errors_in(name):
            records[name] = read_good(name)
        print(f"{name}: {len(records[name])} records")
    with errors_in("bad.jsonl"):
        print(f"bad.jsonl: {check_bad()} lines, {sum(map(bool, BAD_LINES.values()))} bad")

    corpus = [text for found in records.values() for text in texts(found)]
    write_tokenizer(train(corpus), folder)
    with errors_in(str(folder)):
        check_tokenizer(folder, corpus, records["messages.jsonl"])
    print(f"{folder.name}/: {VOCAB_SIZE} tokens, {len(corpus)} texts round-trip")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "tokenizer")
