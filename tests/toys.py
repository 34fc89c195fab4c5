"""Small tokenizers for tests, built in memory, with ids that are easy to read; and other helpers.

``byte_tokenizer`` has one token per byte, and byte ``b`` has the id ``b``: the ids of the text "Hi"
are ``[*b"Hi"]``. The next ids are those of the merges, then those of the added tokens.
``piece_tokenizer`` is SentencePiece-style: a space before a word is written ``▁``, and a character
that it does not know is encoded as bytes.
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
    """An added token with its flags; by default, only ``special`` is set."""

    content: str
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False
    special: bool = True

    def hf(self) -> Any:
        """Return the same token for HF tokenizers."""
        return HfAddedToken(
            self.content,
            lstrip=self.lstrip,
            rstrip=self.rstrip,
            single_word=self.single_word,
            normalized=self.normalized,
            special=self.special,
        )


def byte_names() -> dict[int, str]:
    """Map each byte to the character that stands for it in GPT-2's byte-level alphabet."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in kept]
    names = {byte: chr(byte) for byte in kept}
    return names | {byte: chr(256 + index) for index, byte in enumerate(moved)}


def named(text: str | bytes) -> str:
    """Write a text in the characters of a byte-level vocabulary: " b" is "Ġb"."""
    names = byte_names()
    return "".join(names[byte] for byte in (text.encode() if isinstance(text, str) else text))


Merges = Sequence[tuple[str | bytes, str | bytes]]


def byte_hf(tokens: Iterable[Token | str] = (), merges: Merges = (), **options: Any) -> Any:
    """Return a byte-level BPE of HF tokenizers.

    Args:
        tokens: the added tokens.
        merges: pairs of texts or bytes: ``(" ", "b")``.
        options: more for the BPE model.
    """
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
    """Return a SentencePiece-style BPE of HF tokenizers.

    Args:
        scheme: ``first``, ``always`` or ``never`` for a Metaspace pre-tokenizer with this scheme;
            ``normalizer`` for the older form, in which a normalizer adds the first ``▁``.
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
    """Add tokens to an HF tokenizer, in the given order."""
    for token in tokens:
        made = token if isinstance(token, Token) else Token(token)
        if made.special:
            hf.add_special_tokens([made.hf()])
        else:
            hf.add_tokens([made.hf()])


def put_bos(hf: Any, token: str = "<s>") -> None:
    """Make an HF tokenizer add this token before each text."""
    hf.post_processor = processors.TemplateProcessing(
        single=f"{token} $A",
        pair=f"{token} $A $B",
        special_tokens=[(token, hf.token_to_id(token))],
    )


def described(
    hf: Any, *, special: Mapping[str, str] | None = None, adds_bos: bool = False
) -> Tokenizer:
    """Return an HF tokenizer as sftprep's ``Tokenizer``, without loading it by transformers."""
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
    """Return a byte-level BPE as sftprep's ``Tokenizer``; its EOS is ``</s>`` by default."""
    special = {"eos": "</s>"} if special is None else special
    return described(byte_hf(tokens, merges), special=special, adds_bos=adds_bos)


def piece_tokenizer(
    scheme: str, tokens: Iterable[Token | str] = (), *, adds_bos: bool = True
) -> Tokenizer:
    """Return a SentencePiece-style BPE as sftprep's ``Tokenizer``, with BOS and EOS."""
    special = {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}
    return described(piece_hf(scheme, tokens), special=special, adds_bos=adds_bos)


def save_folder(hf: Any, folder: Path, **config: Any) -> Path:
    """Save an HF tokenizer in a folder that transformers can load."""
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
    """Return a recipe for one input, with one worker unless ``options`` has another number."""
    options = {"workers": 1, **options}
    return Recipe(inputs=(str(path),), output=str(output), tokenizer=str(tokenizer), **options)


def tree(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder and its subfolders, by path from the folder."""
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
