"""Load a tokenizer and say everything about it that the other stages need, as plain data.

In     a local folder, a ``tokenizer.json`` or a hub id; tokens to add.
Out    ``Tokenizer``: the resolved ``tokenizer.json``, its control tokens, special tokens, sizes.
Keeps  what ``transformers.AutoTokenizer`` yields as the reference, whatever the files on disk say:
       transformers may load another pre-tokenizer than ``tokenizer.json`` holds.
Never  runs code from the tokenizer's folder; never adds a token that was not asked for.

The only module that imports transformers, and late: it costs seconds.

A *control token* is every added token that is not plain whitespace, whether it is flagged special
or not: DeepSeek's ``<｜User｜>`` is not flagged. Ids of control tokens come from templates alone.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sftprep.data.control_tokens import AddedToken
from sftprep.errors import TokenizerError
from sftprep.text import shown

ROLES = ("bos", "eos", "pad", "sep")
"""The special tokens that ``--add-token ROLE=TOKEN`` can name."""


@dataclass(frozen=True)
class Tokenizer:
    """A loaded tokenizer as plain data: it can be sent to a worker process.

    ``json`` is the backend's own serialization, without post-processor, truncation and padding:
    special tokens at the ends are placed by templates, never by the encoder.
    """

    name: str
    json: str
    added: tuple[AddedToken, ...]
    special: dict[str, str]  # role (bos, eos, pad, sep, unk) -> token
    adds_bos: bool  # whether encoding a text puts a BOS first
    size: int  # one more than the largest id: what the embedding must have
    newly_added: tuple[str, ...]  # tokens that were not in the vocabulary before
    model_max_length: int | None  # tokens; None where the tokenizer sets no limit
    chat_templates: dict[str, str]  # by name; "default" is the one without a name
    variables: dict[str, Any]  # the special tokens by the names that chat templates know
    files: dict[str, bytes] = field(repr=False)  # what must be saved beside the shards

    @cached_property
    def ids(self) -> dict[str, int]:
        """Every added token's id."""
        return {token.content: token.id for token in self.added}

    @cached_property
    def controls(self) -> dict[str, AddedToken]:
        """The control tokens by their text."""
        return {t.content: t for t in self.added if t.content.strip()}

    def special_id(self, role: str) -> int | None:
        """The id of a special token, None where the tokenizer has no such token."""
        token = self.special.get(role)
        return None if token is None else self.ids.get(token)

    def stripped_json(self, allowed: Iterable[str] = ()) -> str:
        """``json`` without its control tokens, except those that content may be.

        What it encodes can never become a control token: it does not know them.
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
            # A token that its model does not know gets the next free id when it is loaded, which
            # is another's once some are gone. What the model knows keeps its id.
            for token in kept:
                vocabulary.setdefault(token["content"], token["id"])
        return json.dumps(state, ensure_ascii=False, separators=(",", ":"))

    def light(self) -> "Tokenizer":
        """The tokenizer without its files and the vocabulary: what a worker needs of it."""
        return replace(self, json="", chat_templates={}, files={})

    @cached_property
    def sha256(self) -> str:
        """Of the resolved tokenizer: what decides the ids."""
        return hashlib.sha256(self.json.encode()).hexdigest()


def load_tokenizer(
    source: str, *, revision: str | None = None, add_tokens: Sequence[str] = ()
) -> Tokenizer:
    """Load a tokenizer through transformers, add the tokens asked for, and describe it.

    Args:
        source: a folder, a ``tokenizer.json`` file, or a hub id.
        revision: branch, tag or commit of a hub id.
        add_tokens: ``TOKEN`` or ``ROLE=TOKEN``; tokens that are there already are not added again.

    Raises:
        TokenizerError: it cannot be loaded, is not a fast tokenizer, or its ids are not usable.
    """
    hf = _load_hf(source, revision)
    before = set(hf.get_vocab())
    for token in add_tokens:
        _add_token(hf, token)
    state = json.loads(hf.backend_tokenizer.to_str())
    added = _added_tokens(state)
    _check_ids(source, added)
    adds_bos = _adds_bos(hf)
    state.update(post_processor=None, truncation=None, padding=None)
    if state["model"].get("dropout"):
        state["model"]["dropout"] = None  # ids must not be left to chance
    vocabulary = hf.get_vocab()
    return Tokenizer(
        name=Path(source).resolve().name if Path(source).exists() else source,
        json=json.dumps(state, ensure_ascii=False, sort_keys=False),
        added=added,
        special={
            role: str(value)
            for role in (*ROLES, "unk")
            if (value := getattr(hf, f"{role}_token", None)) is not None
        },
        adds_bos=adds_bos,
        size=max(len(hf), max(vocabulary.values()) + 1),
        newly_added=tuple(sorted(set(vocabulary) - before, key=vocabulary.__getitem__)),
        model_max_length=hf.model_max_length if 0 < hf.model_max_length < 10**9 else None,
        chat_templates=_chat_templates(hf),
        variables=dict(hf.special_tokens_map),
        files=_saved_files(hf),
    )


def _load_hf(source: str, revision: str | None) -> Any:
    path = Path(source)
    if path.is_dir() and not any(path.iterdir()):
        raise TokenizerError(f"{source}: the folder is empty. Name a folder with a tokenizer.json.")
    # A hub id is NAME or OWNER/NAME: what cannot be one is a path, and no network is asked.
    if not path.exists() and (source.startswith((".", "/", "~")) or source.count("/") > 1):
        raise TokenizerError(f"{source}: no such file or folder. Check --tokenizer.")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it advises to install torch
    import transformers

    try:
        if path.is_file():
            hf = transformers.PreTrainedTokenizerFast(tokenizer_file=source)
        else:
            hf = transformers.AutoTokenizer.from_pretrained(
                source, revision=revision or "main", trust_remote_code=False
            )
    except Exception as error:
        # transformers raises whatever its parts raise; the first line says what is wrong.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TokenizerError(
            f"tokenizer {shown(source)} cannot be loaded: {reason.rstrip('.')}. "
            "Name a folder that holds one, a tokenizer.json, or a hub id."
        ) from error
    if not getattr(hf, "is_fast", False):
        raise TokenizerError(
            f"tokenizer {shown(source)} has no fast version (tokenizer.json). "
            "Convert it with transformers, or use another."
        )
    return hf


def split_role(token: str) -> tuple[str | None, str]:
    """Take ``ROLE=TOKEN`` apart; a token without a role has None.

    >>> split_role("pad=<|pad|>"), split_role("<|user|>"), split_role("<a=b>")
    (('pad', '<|pad|>'), (None, '<|user|>'), (None, '<a=b>'))
    """
    match = re.fullmatch(rf"({'|'.join(ROLES)})=(.+)", token, re.DOTALL)
    return (match[1], match[2]) if match else (None, token)


def _add_token(hf: Any, token: str) -> None:
    role, content = split_role(token)
    if not content.strip():
        raise TokenizerError(f"--add-token {shown(token)}: a token needs text. Give it some.")
    known = {str(t) for t in hf.added_tokens_decoder.values()}
    if content not in known:
        from transformers import AddedToken as HfAddedToken

        hf.add_tokens([HfAddedToken(content, special=True, normalized=False)], special_tokens=True)
    if role:
        setattr(hf, f"{role}_token", content)


def _added_tokens(state: dict[str, Any]) -> tuple[AddedToken, ...]:
    tokens = (AddedToken(*map(t.__getitem__, AddedToken._fields)) for t in state["added_tokens"])
    return tuple(sorted(tokens, key=lambda token: token.id))


def _check_ids(source: str, added: tuple[AddedToken, ...]) -> None:
    by_id: dict[int, str] = {}
    for token in added:
        other = by_id.setdefault(token.id, token.content)
        if other != token.content:
            raise TokenizerError(
                f"tokenizer {shown(source)}: tokens {shown(other)} and {shown(token.content)} have "
                f"the same id {token.id}. Repair the tokenizer."
            )


def _adds_bos(hf: Any) -> bool:
    """Whether the tokenizer itself puts a BOS in front of a text.

    A bare ``tokenizer.json`` names no BOS; if its post-processor puts one, that is its BOS.
    """
    try:
        whole = hf("a", add_special_tokens=True)["input_ids"]
        text = hf("a", add_special_tokens=False)["input_ids"]
    except Exception:  # a vocabulary without that letter, and without a token for the unknown
        return False
    if not whole or whole[:1] == text[:1] or whole[0] not in hf.added_tokens_decoder:
        return False
    if hf.bos_token_id is None:
        hf.bos_token = str(hf.added_tokens_decoder[whole[0]])
    return bool(whole[0] == hf.bos_token_id)


def _chat_templates(hf: Any) -> dict[str, str]:
    template = hf.chat_template
    if isinstance(template, dict):
        return {str(name): str(source) for name, source in template.items()}
    return {} if template is None else {"default": str(template)}


HOW_LOADED = ("is_local", "local_files_only")
"""What transformers keeps of the way a tokenizer was loaded: no part of what it is."""


def _saved_files(hf: Any) -> dict[str, bytes]:
    """The files of ``save_pretrained``, in memory: they are written with the shards."""
    import tempfile

    for key in HOW_LOADED:
        hf.init_kwargs.pop(key, None)
    with tempfile.TemporaryDirectory() as folder:
        hf.save_pretrained(folder)
        paths = sorted(p for p in Path(folder).rglob("*") if p.is_file())
        return {str(p.relative_to(folder)): p.read_bytes() for p in paths}
