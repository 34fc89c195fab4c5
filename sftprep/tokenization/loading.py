"""Load a tokenizer through transformers, and add tokens to it.

In     a folder, a ``tokenizer.json`` file or a hub id; the tokens to add.
Out    ``Tokenizer``.
Keeps  the tokenizer that ``transformers.AutoTokenizer`` yields, whatever the files hold:
       transformers may use another pre-tokenizer than the one in ``tokenizer.json``.
Never  runs code from the tokenizer's folder, and never adds a token that was not asked for.
Raises TokenizerError: the tokenizer cannot be loaded or cannot be used.

This is the only module that imports transformers. The import takes seconds, so it is done only when
a tokenizer is loaded.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sftprep.data.control_tokens import AddedToken
from sftprep.errors import TokenizerError
from sftprep.text import shown
from sftprep.tokenization.generation_config import GENERATION_CONFIG, stop_ids
from sftprep.tokenization.saving import saved_files
from sftprep.tokenization.tokenizer import Tokenizer

ROLES = ("bos", "eos", "pad", "sep")
"""The special tokens that ``--add-token ROLE=TOKEN`` can set."""


def load_tokenizer(
    source: str, *, revision: str | None = None, add_tokens: Sequence[str] = ()
) -> Tokenizer:
    """Load a tokenizer through transformers, and add the given tokens.

    Args:
        source: a folder, a ``tokenizer.json`` file, or a hub id.
        revision: branch, tag or commit of a hub id.
        add_tokens: ``TOKEN`` or ``ROLE=TOKEN``; a token that the tokenizer already has is not added
            again.

    Raises:
        TokenizerError: the tokenizer cannot be loaded, has no fast version, or has two tokens with
            the same id.
    """
    hf = _load_hf(source, revision)
    before = _known_tokens(source, revision) or set(hf.get_vocab())
    for token in add_tokens:
        add_token(hf, token)
    state = json.loads(hf.backend_tokenizer.to_str())
    added = _added_tokens(state)
    _check_ids(source, added)
    adds_bos = _adds_bos(hf)
    state.update(post_processor=None, truncation=None, padding=None)
    if state["model"].get("dropout"):
        state["model"]["dropout"] = None  # it makes ids random
    vocabulary = hf.get_vocab()
    generation_config = _file_of(source, revision, GENERATION_CONFIG)
    files = saved_files(hf)
    if generation_config is not None:
        files[GENERATION_CONFIG] = generation_config
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
        # transformers writes a huge number if the tokenizer sets no limit.
        model_max_length=hf.model_max_length if 0 < hf.model_max_length < 10**9 else None,
        chat_templates=_chat_templates(hf),
        variables=dict(hf.special_tokens_map),
        files=files,
        generation_stops=_stops(source, generation_config, hf),
    )


def _load_hf(source: str, revision: str | None) -> Any:
    path = Path(source)
    if path.is_dir() and not any(path.iterdir()):
        raise TokenizerError(
            f"{source}: the folder is empty. Pass --tokenizer a folder that holds a tokenizer.json."
        )
    # A hub id is NAME or OWNER/NAME. Anything else is a path, and the network is not used for it.
    if not path.exists() and (source.startswith((".", "/", "~")) or source.count("/") > 1):
        raise TokenizerError(f"{source}: no such file or folder. Check --tokenizer.")
    # Otherwise, transformers advises installing torch.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    import transformers

    try:
        if path.is_file():
            hf = transformers.PreTrainedTokenizerFast(tokenizer_file=source)
        else:
            hf = transformers.AutoTokenizer.from_pretrained(
                source, revision=revision or "main", trust_remote_code=False
            )
    except Exception as error:
        # transformers raises exceptions of any class; the first line of the text has the reason.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TokenizerError(
            f"tokenizer {shown(source)} cannot be loaded: {reason.rstrip('.')}. "
            "Name a folder with a tokenizer, a tokenizer.json file, or a hub id."
        ) from error
    if not getattr(hf, "is_fast", False):
        raise TokenizerError(
            f"tokenizer {shown(source)} has no fast version (tokenizer.json). "
            "Convert it with transformers, or use another tokenizer."
        )
    return hf


def _file_of(source: str, revision: str | None, name: str) -> bytes | None:
    """Return a file of the tokenizer's folder or hub id.

    Returns:
        None if there is no such file. For a single ``tokenizer.json`` the result is always None:
        nothing else is read then.
    """
    path = Path(source)
    if path.is_file():
        return None
    try:
        found: Any = path / name
        if not path.is_dir():
            from transformers.utils.hub import cached_file, is_offline_mode

            found = cached_file(
                source,
                name,
                revision=revision or "main",
                _raise_exceptions_for_missing_entries=False,
                # Offline it is not known if the hub has the file; a copy of it would be used.
                _raise_exceptions_for_connection_errors=not is_offline_mode(),
            )
        return None if found is None or not Path(found).is_file() else Path(found).read_bytes()
    except OSError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TokenizerError(
            f"tokenizer {shown(source)}: its {name} cannot be read: {reason.rstrip('.')}. Check "
            "the file and the connection."
        ) from error


def _known_tokens(source: str, revision: str | None) -> set[str] | None:
    """Return the tokens that have an id in the tokenizer's files.

    ``tokenizer_config.json`` may name an EOS or a pad token that no file gives an id. transformers
    adds such a token behind the vocabulary, where the model's embedding has no row.

    Returns:
        None if the tokenizer has no ``tokenizer.json``: then its vocabulary is in other files.
    """
    data = _file_of(source, revision, "tokenizer.json")
    if data is None:
        return None
    state = json.loads(data)
    vocabulary = state["model"]["vocab"]  # an object; for Unigram models, a list of pairs
    names = vocabulary if isinstance(vocabulary, dict) else [entry[0] for entry in vocabulary]
    known = {*names, *(token["content"] for token in state["added_tokens"])}
    if (config := _file_of(source, revision, "tokenizer_config.json")) is not None:
        added = json.loads(config).get("added_tokens_decoder") or {}
        known.update(token.get("content", "") for token in added.values())
    if (data := _file_of(source, revision, "added_tokens.json")) is not None:
        ids = json.loads(data)
        known.update(ids if isinstance(ids, dict) else ())
    return known


def _stops(source: str, generation_config: bytes | None, hf: Any) -> tuple[str, ...]:
    """Return the tokens that ``generation_config.json`` names as the end of a text."""
    if generation_config is None:
        return ()
    tokens = {token_id: token for token, token_id in hf.get_vocab().items()}
    ids = stop_ids(generation_config, source)
    for token_id in ids:
        if token_id not in tokens:
            raise TokenizerError(
                f"tokenizer {shown(source)}: its {GENERATION_CONFIG} names the id {token_id} in "
                "eos_token_id, which the tokenizer does not have. Correct the file."
            )
    return tuple(dict.fromkeys(tokens[token_id] for token_id in ids))


def split_role(token: str) -> tuple[str | None, str]:
    """Return the role and the token of ``ROLE=TOKEN``; the role is None if only a token is given.

    >>> split_role("pad=<|pad|>"), split_role("<|user|>"), split_role("<a=b>")
    (('pad', '<|pad|>'), (None, '<|user|>'), (None, '<a=b>'))
    """
    match = re.fullmatch(rf"({'|'.join(ROLES)})=(.+)", token, re.DOTALL)
    return (match[1], match[2]) if match else (None, token)


def add_token(hf: Any, token: str) -> None:
    """Add a token to an HF tokenizer, if it is missing, and give it its role.

    Args:
        hf: a tokenizer of transformers.
        token: ``TOKEN`` or ``ROLE=TOKEN``.

    Raises:
        TokenizerError: the token is empty or only white space.
    """
    role, content = split_role(token)
    if not content.strip():
        raise TokenizerError(
            f"--add-token {shown(token)}: the token is empty or only white space. "
            "Name a token with visible text."
        )
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
                f"tokenizer {shown(source)}: the tokens {shown(other)} and {shown(token.content)} "
                f"have the same id {token.id}. Repair the tokenizer."
            )


def _adds_bos(hf: Any) -> bool:
    """Return whether the tokenizer itself puts a BOS in front of a text.

    A bare ``tokenizer.json`` does not say which token is its BOS. If its post-processor puts an
    added token first, that token becomes the BOS.
    """
    try:
        whole = hf("a", add_special_tokens=True)["input_ids"]
        text = hf("a", add_special_tokens=False)["input_ids"]
    except Exception:  # the vocabulary has neither the letter a nor a token for unknown text
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
