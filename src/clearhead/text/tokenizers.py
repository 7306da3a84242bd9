"""`Tokenizer`: text to token ids and back, trained on the user's own text; the engine is Hugging Face's `tokenizers`.

Training twice on the same lines gives the same tokenizer. What looks like a special token in a text is plain text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from clearhead.errors import InputError
from clearhead.files import write_whole

Kind = Literal["wordpiece", "bpe", "character", "word"]

PAD, UNKNOWN, BEGIN, END, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[BOS]", "[EOS]", "[MASK]")
BERTS_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # anywhere in a vocabulary that is not ours
CONTINUES = "##"
LEAST_SIZE: dict[Kind, int] = {"bpe": len(SPECIAL_TOKENS) + 256, "wordpiece": 32, "character": 16, "word": 16}

_KINDS: dict[str, Kind] = {"BPE": "bpe", "WordPiece": "wordpiece", "WordLevel": "character"}
_PIECES_SHARE = 0.25
_LEAST_FREQUENCY = 2
_BATCH = 10_000
# A word that is spelt as a special token is cut in two, so that it is none.
_LOOKALIKE = tokenizers.Regex(rf"^\[(?=(?:{'|'.join(token[1:-1] for token in SPECIAL_TOKENS)})\]$)")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Vocabulary:
    """How many token ids there are, those of the special tokens, and of the pieces that continue a word (WordPiece)."""

    size: int
    pad: int = 0
    unknown: int = 1
    begin: int = 2
    end: int = 3
    mask: int = 4
    continues: frozenset[int] = field(default=frozenset(), repr=False, compare=False)


@dataclass(frozen=True)
class Tokenizer:
    """Text to token ids and back. Begin and end are not added; a lone surrogate is read as U+FFFD."""

    kind: Kind
    vocabulary: Vocabulary
    engine: tokenizers.Tokenizer = field(repr=False, compare=False)

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """The ids of each text, `(n,)`."""
        encoded: list[NDArray[np.int32]] = []
        for start in range(0, len(texts), _BATCH):
            batch = [mended(text) for text in texts[start : start + _BATCH]]
            found = self.engine.encode_batch_fast(batch, add_special_tokens=False)
            encoded += [np.array(one.ids, dtype=np.int32) for one in found]
        return encoded

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; pad, begin and end are left out, [UNK] and [MASK] are shown."""
        unseen = {self.vocabulary.pad, self.vocabulary.begin, self.vocabulary.end}
        return self.engine.decode([int(one) for one in ids if int(one) not in unseen], skip_special_tokens=False)

    def save(self, path: Path) -> Path:
        """Writes a `tokenizer.json` that Hugging Face's `tokenizers` reads as well."""
        return write_whole(path, self.engine.to_str(pretty=True))

    def __reduce__(self) -> tuple[Callable[[str], Tokenizer], tuple[str]]:
        return _from_json, (self.engine.to_str(),)


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a `tokenizer.json` that `save` wrote. Raises `InputError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(f"{path}: cannot read this tokenizer ({fault})") from fault
    return tokenizer_from(text, str(path))


def tokenizer_from(text: str, where: str) -> Tokenizer:
    """The tokenizer in the text of a `tokenizer.json`; `where` names it in errors. Raises `InputError`."""
    try:
        return _from_json(text)
    except Exception as fault:
        raise InputError(f"{where}: not a tokenizer.json that was saved here ({fault})") from fault


def train_tokenizer(kind: Kind, lines: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """The tokenizer of at most `vocabulary_size` ids that the lines give, special tokens among them.

    `bpe`: byte-level (Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019), any text without unknowns.
    `wordpiece`: greedy longest match in words, as BERT's, cased (Devlin et al. 2019, arXiv:1810.04805).
    `character`: Unicode characters, the most frequent first. `word`: what stands between white space, likewise.
    Raises `InputError` where the size is too small.
    """
    if vocabulary_size < LEAST_SIZE[kind]:
        raise InputError(
            f"text.vocabulary_size: {vocabulary_size} is too small for {kind}; give at least {LEAST_SIZE[kind]}"
        )
    engine = TRAINERS[kind]([mended(line) for line in lines], vocabulary_size)
    engine.add_special_tokens(list(SPECIAL_TOKENS))
    return _from_json(engine.to_str())


def _from_json(text: str) -> Tokenizer:
    engine = tokenizers.Tokenizer.from_str(text)
    engine.encode_special_tokens = True  # "[MASK]" in a text is six characters, not the token
    engine.no_padding()  # a downloaded one may cut texts and fill them up
    engine.no_truncation()
    pad, unknown, begin, end, mask = _special_ids(engine)
    kind = _KINDS[type(engine.model).__name__]
    if kind == "character" and isinstance(engine.pre_tokenizer, pre_tokenizers.Sequence):
        kind = "word"
    size, continues = engine.get_vocab_size(), continuing_pieces(engine)
    return Tokenizer(kind, Vocabulary(size, pad, unknown, begin, end, mask, continues), engine)


def _special_ids(engine: tokenizers.Tokenizer) -> list[int]:
    """The ids of pad, unknown, begin, end and mask, under the names that are given here or those of BERT."""
    known = engine.get_vocab()
    if [known.get(name) for name in SPECIAL_TOKENS] == list(range(len(SPECIAL_TOKENS))):
        return list(range(len(SPECIAL_TOKENS)))
    if not all(name in known for name in BERTS_SPECIAL_TOKENS):
        raise ValueError(f"its first tokens are not {', '.join(SPECIAL_TOKENS)}")
    return [known[name] for name in BERTS_SPECIAL_TOKENS]


def continuing_pieces(engine: tokenizers.Tokenizer) -> frozenset[int]:
    """The ids of the pieces that continue a word: WordPiece marks them, other tokenizers do not."""
    if not isinstance(engine.model, models.WordPiece):
        return frozenset()
    return frozenset(number for piece, number in engine.get_vocab().items() if piece.startswith(CONTINUES))


def _train_bpe(lines: list[str], size: int) -> tokenizers.Tokenizer:
    engine = tokenizers.Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=_LEAST_FREQUENCY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    engine.train_from_iterator(lines, trainer)
    return engine


def _train_wordpiece(lines: list[str], size: int) -> tokenizers.Tokenizer:
    engine = _wordpiece(dict.fromkeys(SPECIAL_TOKENS, 0))
    alphabet, continuing = _alphabet(engine, lines, size)
    # The trainer numbers continuing letters in the order of a hash table; named as special tokens they keep theirs.
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=_LEAST_FREQUENCY,
        special_tokens=[*SPECIAL_TOKENS, *continuing],
        limit_alphabet=len(alphabet),
        initial_alphabet=alphabet,
        continuing_subword_prefix=CONTINUES,
        show_progress=False,
    )
    engine.train_from_iterator(lines, trainer)
    return _wordpiece(engine.get_vocab())


def _wordpiece(vocabulary: dict[str, int]) -> tokenizers.Tokenizer:
    engine = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, continuing_subword_prefix=CONTINUES))
    engine.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.WordPiece(prefix=CONTINUES)
    return engine


def _alphabet(engine: tokenizers.Tokenizer, lines: list[str], size: int) -> tuple[list[str], list[str]]:
    """The most frequent letters, and of these the ones that continue a word; room is left for longer pieces."""
    words = Counter(
        word
        for line in lines
        for word, _ in engine.pre_tokenizer.pre_tokenize_str(engine.normalizer.normalize_str(line))
    )
    letters: Counter[str] = Counter()
    for word, times in words.items():
        for letter in word:
            letters[letter] += times
    continuing = {letter for word in words for letter in word[1:]}
    room = size - len(SPECIAL_TOKENS) - min(int(size * _PIECES_SHARE), sum(len(word) > 1 for word in words))
    kept: list[str] = []
    for letter in _by_frequency(letters):
        room -= 2 if letter in continuing else 1
        if room < 0:
            break
        kept.append(letter)
    return sorted(kept), sorted(CONTINUES + letter for letter in kept if letter in continuing)


def _by_frequency(letters: Counter[str]) -> list[str]:
    return sorted(letters, key=lambda letter: (-letters[letter], letter))


def _train_character(lines: list[str], size: int) -> tokenizers.Tokenizer:
    frequent = _by_frequency(Counter(character for line in lines for character in line))
    tokens = [*SPECIAL_TOKENS, *frequent][:size]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    engine = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    engine.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    engine.decoder = decoders.Fuse()
    return engine


def word_tokenizer(counts: Counter[str], size: int | None, *, lowercase: bool) -> Tokenizer:
    """The tokenizer of kind `word` whose tokens are the words counted, the most frequent first, `size` ids at most."""
    engine = _word_level([word for word in _by_frequency(counts) if word not in SPECIAL_TOKENS], size)
    if lowercase:
        engine.normalizer = normalizers.Lowercase()
    engine.add_special_tokens(list(SPECIAL_TOKENS))
    return _from_json(engine.to_str())


def _train_word(lines: list[str], size: int) -> tokenizers.Tokenizer:
    split = _word_level([], None).pre_tokenizer
    counts = Counter(word for line in lines for word, _ in split.pre_tokenize_str(line))
    return _word_level(_by_frequency(counts), size)


def _word_level(words: list[str], size: int | None) -> tokenizers.Tokenizer:
    tokens = [*SPECIAL_TOKENS, *words][:size]
    engine = tokenizers.Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=UNKNOWN))
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(_LOOKALIKE, "isolated")]
    )
    return engine


def mended(text: str) -> str:
    """`text` with pairs of surrogates joined and lone ones replaced: only such text has an encoding."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


TRAINERS: dict[Kind, Callable[[list[str], int], tokenizers.Tokenizer]] = {
    "wordpiece": _train_wordpiece,
    "bpe": _train_bpe,
    "character": _train_character,
    "word": _train_word,
}
