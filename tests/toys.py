"""Tokenizers made for tests: small, built in memory, with ids that can be read.

``byte_tokenizer`` knows the 256 bytes, and byte ``b`` has the id ``b``: the text "Hi" is
``[*b"Hi"]``. Merges come next, then the added tokens. ``piece_tokenizer`` is SentencePiece-style:
words with ``▁`` in front, and bytes for what it does not know.
"""

import json
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken as HfAddedToken
from tokenizers import Tokenizer as HfTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from sftprep.data.control_tokens import AddedToken
from sftprep.recipe import Recipe
from sftprep.tokenization.tokenizer import Tokenizer

SAMPLE_DATA = Path(__file__).resolve().parent.parent / "sample_data"
SAMPLE_TOKENIZER = SAMPLE_DATA / "tokenizer"


class Token(NamedTuple):
    """An added token and its flags, all of them off unless said otherwise."""

    content: str
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False
    special: bool = True

    def hf(self) -> Any:
        """The same for HF tokenizers."""
        return HfAddedToken(
            self.content,
            lstrip=self.lstrip,
            rstrip=self.rstrip,
            single_word=self.single_word,
            normalized=self.normalized,
            special=self.special,
        )


def byte_names() -> dict[int, str]:
    """What a byte-level tokenizer calls each byte, as GPT-2 laid it down."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in kept]
    names = {byte: chr(byte) for byte in kept}
    return names | {byte: chr(256 + index) for index, byte in enumerate(moved)}


def named(text: str | bytes) -> str:
    """A text in the letters of a byte-level vocabulary: " b" is "Ġb"."""
    names = byte_names()
    return "".join(names[byte] for byte in (text.encode() if isinstance(text, str) else text))


Merges = Sequence[tuple[str, str | bytes]]


def byte_hf(tokens: Iterable[Token | str] = (), merges: Merges = (), **options: Any) -> Any:
    """A byte-level BPE as HF has it; merges are given as texts: (" ", "b"), or as bytes."""
    vocabulary = {name: byte for byte, name in byte_names().items()}
    pairs = [(named(left), named(right)) for left, right in merges]
    for left, right in pairs:
        vocabulary.setdefault(left + right, len(vocabulary))
    hf = HfTokenizer(models.BPE(vocab=vocabulary, merges=pairs, **options))
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hf.decoder = decoders.ByteLevel()
    add(hf, tokens)
    return hf


PIECES = ("▁", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,:", "▁a", "▁b", "ab", "▁ab")
PIECE_MERGES = (("▁", "a"), ("▁", "b"), ("a", "b"), ("▁a", "b"))


def piece_hf(scheme: str, tokens: Iterable[Token | str] = (), **options: Any) -> Any:
    """A SentencePiece-style BPE as HF has it.

    Args:
        scheme: ``first``, ``always`` or ``never`` for a Metaspace pre-tokenizer; ``normalizer`` for
            the older form that puts ``▁`` in front with a normalizer.
        tokens: added tokens besides ``<unk>``, ``<s>`` and ``</s>``.
        options: more for the BPE model.
    """
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES]
    vocabulary = {name: index for index, name in enumerate(names)}
    hf = HfTokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=list(PIECE_MERGES),
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
            **options,
        )
    )
    if scheme == "normalizer":
        steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        hf.normalizer = normalizers.Sequence(steps)
    else:
        hf.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme=scheme, split=False)
    hf.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    add(hf, ["<unk>", "<s>", "</s>", *tokens])
    return hf


def add(hf: Any, tokens: Iterable[Token | str]) -> None:
    """Add tokens to an HF tokenizer, in this order."""
    for token in tokens:
        made = token if isinstance(token, Token) else Token(token)
        if made.special:
            hf.add_special_tokens([made.hf()])
        else:
            hf.add_tokens([made.hf()])


def put_bos(hf: Any, token: str = "<s>") -> None:
    """Let an HF tokenizer put this token in front of a text."""
    hf.post_processor = processors.TemplateProcessing(
        single=f"{token} $A",
        pair=f"{token} $A $B",
        special_tokens=[(token, hf.token_to_id(token))],
    )


def described(
    hf: Any, *, special: Mapping[str, str] | None = None, adds_bos: bool = False
) -> Tokenizer:
    """An HF tokenizer as sftprep describes it, without the detour through transformers."""
    state = json.loads(hf.to_str())
    state.update(post_processor=None, truncation=None, padding=None)
    added = [AddedToken(*(entry[f] for f in AddedToken._fields)) for entry in state["added_tokens"]]
    return Tokenizer(
        name="toy",
        json=json.dumps(state, ensure_ascii=False),
        added=tuple(sorted(added, key=lambda token: token.id)),
        special=dict(special or {}),
        adds_bos=adds_bos,
        size=max(hf.get_vocab().values()) + 1,
        newly_added=(),
        model_max_length=None,
        chat_templates={},
        variables={},
        files={},
    )


def byte_tokenizer(
    tokens: Iterable[Token | str] = ("</s>",),
    merges: Merges = (),
    *,
    special: Mapping[str, str] | None = None,
    adds_bos: bool = False,
) -> Tokenizer:
    """A byte-level BPE as sftprep describes it; its EOS is ``</s>`` unless ``special`` differs."""
    special = {"eos": "</s>"} if special is None else special
    return described(byte_hf(tokens, merges), special=special, adds_bos=adds_bos)


def piece_tokenizer(
    scheme: str, tokens: Iterable[Token | str] = (), *, adds_bos: bool = True
) -> Tokenizer:
    """A SentencePiece-style BPE as sftprep describes it, with its BOS and EOS."""
    special = {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}
    return described(piece_hf(scheme, tokens), special=special, adds_bos=adds_bos)


def save_folder(hf: Any, folder: Path, **config: Any) -> Path:
    """Write an HF tokenizer as a folder that transformers can load."""
    folder.mkdir(parents=True, exist_ok=True)
    hf.save(str(folder / "tokenizer.json"))
    facts = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 4096, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts))
    return folder


def write_jsonl(path: Path, records: Iterable[object]) -> Path:
    """Write records as JSON Lines."""
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def recipe(path: Path, output: Path, tokenizer: Path = SAMPLE_TOKENIZER, **options: Any) -> Recipe:
    """A recipe for one input; one worker unless said otherwise."""
    options = {"workers": 1, **options}
    return Recipe(inputs=(str(path),), output=str(output), tokenizer=str(tokenizer), **options)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path from there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Started(list["subprocess.Popen[bytes]"]):
    """The worker programs that were started, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.workers: list[int] = []  # process ids of the workers that were ready

    # Receives the number of a program and its command; returns the command to run instead.
    change: Callable[[int, list[str]], list[str]] = staticmethod(lambda _, command: command)
    # Receives the process id of each worker that has become ready.
    on_ready: Callable[[int], object] = staticmethod(lambda _: None)
