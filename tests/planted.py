"""Records without a fault, and faults to plant in them: for each rule of lint, at known lines."""

from collections.abc import Callable
from typing import Any, NamedTuple

Record = dict[str, Any]
COUNT = 300
"""How many records a clean set has."""
EVERY = 50
"""Each ``EVERY``th record gets the fault."""
SUBJECTS = ("The river", "A friend", "My garden", "Our teacher", "This old town", "The winter")
LONG = (
    " It is a long story, and we tell it once more from its first day to the last one of the year."
)


def sentence(number: int) -> str:
    """Return a sentence that no other number has."""
    return f"{SUBJECTS[number % 6]} was seen {number} times before noon."


def exchange(number: int) -> Record:
    """Return a record with a prompt and a completion."""
    return {
        "prompt": f"Passage: {sentence(number)}\nHow often was it seen?\nAnswer:\n",
        "completion": f"It was seen {number} times." + LONG * (number % 3),
    }


def chat(number: int) -> Record:
    """Return a record with messages."""
    return {
        "messages": [
            {"role": "system", "content": "You count what you see."},
            {"role": "user", "content": f"{sentence(number)} How often was it seen?"},
            {"role": "assistant", "content": f"It was seen {number} times." + LONG * (number % 3)},
            {"role": "user", "content": f"And what about the number {number + 1}?"},
            {"role": "assistant", "content": f"It is {number + 1} - one more than {number}."},
        ]
    }


def chinese(number: int) -> Record:
    """Return a record whose texts are Chinese."""
    times = "一二三四五六七八九"[number % 9]
    return {
        "prompt": f"河边的老人今天早上数了{number}只鸟，共数了{times}遍，他明天还会再来吗？\n",
        "completion": f"是的，他明早还会再来，因为他已经在这里数了{number}天的鸟，每天{times}遍。",
    }


Plant = Callable[[Record, int], Record]


def prompt(change: Callable[[str], str]) -> Plant:
    """Return what changes the prompt of a record."""
    return lambda record, _: record | {"prompt": change(record["prompt"])}


def answer(change: Callable[[str], str]) -> Plant:
    """Return what changes the completion of a record."""
    return lambda record, _: record | {"completion": change(record["completion"])}


def message(index: int, change: Callable[[str], str]) -> Plant:
    """Return what changes a message of a record."""

    def plant(record: Record, _: int) -> Record:
        messages = [dict(one) for one in record["messages"]]
        messages[index]["content"] = change(messages[index]["content"])
        return {"messages": messages}

    return plant


def without(index: int) -> Plant:
    """Return what removes a message of a record."""

    def plant(record: Record, _: int) -> Record:
        messages = record["messages"]
        return {"messages": [*messages[:index], *messages[index + 1 :]]}

    return plant


class Planted(NamedTuple):
    """A fault."""

    rule: str
    base: Callable[[int], Record]
    plant: Plant
    form: str = ""  # what the rule says of it
    also: frozenset[str] = frozenset()  # other rules that rightly find it too


def _all_alike(record: Record, _: int) -> Record:
    return record | {"prompt": "What is the answer to all questions of this kind?\nAnswer:\n"}


def _repeated(record: Record, _: int) -> Record:
    return exchange(1)


PLANTED = (
    Planted("bad-record", exchange, lambda r, _: r | {"completion": 7}, "wrong_type"),
    Planted("mixed-schema", exchange, lambda _, n: chat(n)),
    Planted("loss-flag", exchange, lambda r, _: r | {"no_loss": True}, "no_loss"),
    Planted("role-order", chat, without(2), "two user messages in a row"),
    Planted("role-order", chat, without(4), "no answer at the end"),
    Planted("role-order", chat, without(1), "an assistant message at the start"),
    Planted("system-prompt", chat, without(0), "without a system prompt"),
    Planted("answer-start", exchange, answer(lambda t: " " + t), "a space"),
    Planted("answer-start", chat, message(2, lambda t: "\n" + t), "a line break"),
    Planted("answer-end", exchange, answer(lambda t: t + " "), "a space"),
    Planted("answer-end", exchange, answer(lambda t: t + "\n"), "a line break"),
    Planted("message-end", chat, message(1, lambda t: t + " "), "a space"),
    Planted(
        "prompt-end", exchange, prompt(lambda t: t + " "), "a space",
        frozenset({"prompt-separator"}),
    ),
    Planted("prompt-separator", exchange, prompt(lambda t: t[:-8]), r"'\n'"),
    Planted(
        "line-ends", exchange, prompt(lambda t: t.replace("\n", "\r\n")), r"\r\n",
        frozenset({"prompt-separator"}),
    ),
    Planted(
        "line-ends", exchange, prompt(lambda t: t.replace("\n", "\r\n", 1)),
        "several kinds in one text",
    ),
    Planted(
        "marker-spelling", exchange, prompt(lambda t: t.replace("Passage:", "passage:")),
        "'passage:' for 'Passage:'",
    ),
    Planted("empty-answer", exchange, answer(lambda _: "")),
    Planted("empty-prompt", chat, message(1, lambda _: "")),
    Planted("blank-text", chat, message(0, lambda _: "\t")),
    Planted("near-empty-answer", exchange, answer(lambda _: "...")),
    Planted("placeholder", exchange, answer(lambda _: "N/A"), "n/a"),
    Planted(
        "placeholder", exchange, lambda r, _: r | {"input": "nan"}, "nan",
        frozenset({"prompt-separator"}),
    ),
    Planted("template-remains", exchange, answer(lambda t: f"{t} {{input}}"), "{input}"),
    Planted("template-remains", exchange, answer(lambda t: f"{t} [Your text]"), "[Your text]"),
    Planted("refusal", exchange, answer(lambda _: "I'm sorry, but I can't help with that.")),
    Planted("cut-answer", exchange, answer(lambda t: t + LONG[:-5] + "the"), "no end"),
    Planted("cut-answer", exchange, answer(lambda t: f"{t}\n```\nx = 1"), "code without an end"),
    Planted("html", exchange, answer(lambda t: f"<p>{t}</p>")),
    Planted("html", exchange, answer(lambda t: f"{t} Rise &amp; shine.")),
    Planted("control-string", exchange, answer(lambda t: f"{t}<|im_end|>"), "<|im_end|>"),
    Planted("nul", exchange, answer(lambda t: t[:9] + "\0" + t[9:])),
    Planted("control-character", exchange, answer(lambda t: t[:9] + "\x1b[0m" + t[9:]), "U+001B"),
    Planted("zero-width", exchange, answer(lambda t: t[:9] + "\u200b" + t[9:]), "U+200B"),
    Planted("bidi", exchange, answer(lambda t: t[:9] + "\u202e" + t[9:]), "U+202E"),
    Planted("nbsp", exchange, answer(lambda t: t.replace(" ", "\u00a0", 1)), "U+00A0"),
    Planted("mojibake", exchange, answer(lambda t: t + " CafÃ©."), "Ã© for é"),
    Planted("replacement-character", exchange, answer(lambda t: t + " Caf\ufffd.")),
    Planted("not-nfc", exchange, answer(lambda t: t + " Cafe\u0301."), "not NFC"),
    Planted("answer-is-prompt", exchange, lambda r, _: r | {"completion": r["prompt"].strip()}),
    Planted(
        "other-script", chinese, answer(lambda _: "Yes, he will come back tomorrow morning."),
        "Latin for Han or Kana",
    ),
    Planted("duplicate", exchange, _repeated),
    Planted("conflicting-answers", exchange, _all_alike),
    Planted("length-outlier", exchange, answer(lambda t: t + LONG * 100)),
)  # fmt: skip
