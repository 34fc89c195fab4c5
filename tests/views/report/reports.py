"""Datasets whose reports the tests read, and a reader of pages."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from toys import SAMPLE_TOKENIZER, recipe, write_jsonl

from sftprep import prepare

HOSTILE = "</span><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\"'\u202e\x1b[31m"
"""A text that must do nothing."""
CHINESE = "您好！请用一句话介绍一下。"
VOID = {"meta", "link", "br", "img", "input", "hr"}


def chat(prompt: str, words: int) -> dict[str, Any]:
    """Return a record with a hostile answer, which has so many words more."""
    answer = f"{HOSTILE}\n{'more ' * words}"
    return {
        "messages": [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": answer},
        ]
    }


def build(folder: Path, **options: Any) -> Path:
    """Prepare chats of several kinds, hostile ones among them."""
    records = [chat(f"{CHINESE} {number}", number * (number % 5)) for number in range(60)]
    records.append({"messages": [{"role": "user", "content": "no answer"}]})
    path = write_jsonl(folder.parent / "chats<b>.jsonl", records)
    made = recipe(
        path,
        folder,
        tokenizer=SAMPLE_TOKENIZER,
        template="chatml",
        on_error="quarantine",
        max_rejects="100%",
        **options,
    )
    prepare(made)
    return folder


def lint_file(folder: Path) -> Path:
    """Write findings in the form of ``sftprep lint --json``."""
    finding = {
        "rule": "answer-start",
        "severity": "warning",
        "finds": "answers that begin with white space",
        "unit": "answer",
        "count": 3,
        "of": 30,
        "share": 0.1,
        "majority": {"form": "text", "count": 27},
        "forms": [{"form": "a space", "count": 3}],
        "examples": [
            {"file": "chats<b>.jsonl", "line": 7, "text": HOSTILE},
            {"file": "chats<b>.jsonl", "line": 9, "remark": "a remark <i>"},
        ],
        "why": "because",
        "cure": "Remove it.",
    }
    value = {
        "inputs": ["chats<b>.jsonl"],
        "records": 30,
        "findings": [finding],
        "ignored": [{"rule": "refusal", "count": 2, "reason": "wanted"}],
        "not_run": ["no-stop"],
        "fixed": None,
    }
    path = folder / "lint.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


class Page(HTMLParser):
    """The elements and the text of a page; each element must be closed in order.

    Attributes:
        tags: the names of all elements, in order.
        attributes: all attributes of all elements: name and value.
        text: all text but that of the style.
        by_id: the text of each section.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.by_id: dict[str, str] = {}
        self._open: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append(tag)
        found = [(name, value or "") for name, value in attrs]
        self.attributes += found
        if tag not in VOID:
            self._open.append((tag, dict(found).get("id", "")))

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if self._open and self._open[-1][0] == "style":
            return
        self.text += data
        for _, name in self._open:
            if name:
                self.by_id[name] = self.by_id.get(name, "") + data
