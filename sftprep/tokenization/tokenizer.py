"""A loaded tokenizer as plain data: everything that the other stages need to know about it.

Every added token that is not just white space is a *control token*, even if it is not flagged
special, like DeepSeek's ``<｜User｜>``. Only templates place the ids of control tokens.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sftprep.data.control_tokens import AddedToken


@dataclass(frozen=True)
class Tokenizer:
    """A loaded tokenizer; it can be sent to a worker process.

    ``json`` is the ``tokenizer.json`` that transformers resolved, without post-processor,
    truncation and padding: special tokens are placed by templates and never by the encoder.
    """

    name: str
    json: str
    added: tuple[AddedToken, ...]  # in the order of their ids
    special: dict[str, str]  # role (bos, eos, pad, sep, unk) -> token
    adds_bos: bool  # whether the tokenizer puts a BOS in front of a text by itself
    size: int  # one more than the largest id: how many rows the model's embedding must have
    newly_added: tuple[str, ...]  # tokens new to the vocabulary, in the order of their ids
    model_max_length: int | None  # tokens; None if the tokenizer sets no limit
    chat_templates: dict[str, str]  # by name; "default" is the one without a name
    variables: dict[str, Any]  # the special tokens under the names that chat templates use
    files: dict[str, bytes] = field(repr=False)  # the files to save next to the shards, by path
    generation_stops: tuple[str, ...] = ()  # the tokens that ``generation_config.json`` names

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each added token."""
        return {token.content: token.id for token in self.added}

    @cached_property
    def controls(self) -> dict[str, AddedToken]:
        """The control tokens, by their text."""
        return {t.content: t for t in self.added if t.content.strip()}

    @property
    def stops(self) -> tuple[str, ...]:
        """The tokens that stop the model at inference.

        These are the tokens that ``generation_config.json`` names; the EOS if it names none.
        """
        eos = self.special.get("eos")
        return self.generation_stops or (() if eos is None else (eos,))

    def special_id(self, role: str) -> int | None:
        """Return the id of a special token; None if the tokenizer has no such token."""
        token = self.special.get(role)
        return None if token is None else self.ids.get(token)

    def stripped_json(self, allowed: Iterable[str] = ()) -> str:
        """Return ``json`` without its control tokens, except the allowed ones.

        A tokenizer built from it can never encode content as a control token, because it has none.

        Args:
            allowed: control tokens that the text of a record may become.
        """
        state = json.loads(self.json)
        allowed = set(allowed)
        kept = [
            token
            for token in state["added_tokens"]
            if not token["content"].strip() or token["content"] in allowed
        ]
        state["added_tokens"] = kept
        vocabulary = state["model"]["vocab"]
        if isinstance(vocabulary, dict):
            # HF gives an added token that is not in the model's vocabulary the next free id, which
            # is a different id once other tokens are removed. In the vocabulary, it keeps its id.
            for token in kept:
                vocabulary.setdefault(token["content"], token["id"])
        return json.dumps(state, ensure_ascii=False, separators=(",", ":"))

    def light(self) -> "Tokenizer":
        """Return the tokenizer without vocabulary, templates and files: workers need none of it."""
        return replace(self, json="", chat_templates={}, files={})

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the resolved ``tokenizer.json``, which determines the ids."""
        return hashlib.sha256(self.json.encode()).hexdigest()
