"""Tokenizers learnt from the user's own text: BPE, WordPiece or Unigram, English and Chinese alike.

BPE (Sennrich et al. 2016) and Unigram (Kudo 2018) write what they have never seen as bytes, so any text comes back as it
went in; WordPiece (Schuster & Nakajima 2012, as BERT reads it) says [UNK]. Chinese is cut by character, or pieces are
learnt inside the words of a segmenter and so are words or parts of words; reading needs no segmenter, so whatever
loads a tokenizer.json reads alike. The same texts give the same vocabulary, to the byte, which the library's own trainers for
WordPiece and Unigram do not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from burnish.nn.architectures import Architecture
from burnish.nn.conversations import CHATML
from burnish.nn.merging import merges
from burnish.nn.unigram import unigram
from burnish.text.scripts import UNSPACED_CLASS

Kind = Literal["bpe", "wordpiece", "unigram"]
Chinese = Literal["characters", "words", "none"]

PAD, END, UNKNOWN, TURN, TURN_END = "<pad>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>"
WRITING = (PAD, END, UNKNOWN, TURN, TURN_END)  # of models that write
READING = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # of models that read; all of BERT's
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
SENTINEL = "<extra_id_{}>"  # what stands for a span that was taken out (Raffel et al. 2020)
POSITIONS = 1024
LEARNT_CHARS = 20_000_000  # of the texts are enough to learn a vocabulary from
LONGEST = 16  # characters of a piece
RUN = 64  # Chinese characters that WordPiece looks at together: it tries every length
GO_ON = "##"  # before a WordPiece that begins inside a word

# Characters and whether each goes on in a word (WordPiece only) -> how often that word occurs.
Words = Mapping[tuple[tuple[str, bool], ...], int]


def learn(
    texts: Iterable[str],
    *,
    kind: Kind = "bpe",
    vocabulary: int = 8000,
    architecture: Architecture = "decoder",
    chinese: Chinese = "characters",
    lowercase: bool = False,
    sentinels: int = 0,
    characters: int = LEARNT_CHARS,
    positions: int = POSITIONS,
) -> Any:
    """Learn a vocabulary and give it as transformers' PreTrainedTokenizerFast.

    kind: bpe and unigram fall back to bytes, wordpiece to [UNK]. vocabulary: pieces at most, special ones and those of
    256 bytes among them; fewer where the texts have no more.
    architecture: of the model; says which special tokens there are. An encoder puts [CLS] before a text and [SEP] behind,
    an encoder-decoder </s> behind, a decoder nothing.
    chinese: "characters" never joins two of them; "words" joins them only inside a word of `text.segment`; "none" joins
    what occurs together. lowercase: read all text in lower case (wordpiece: without accents too, as uncased BERT).
    sentinels: <extra_id_0> and on, for span corruption. characters: of the texts to learn from, taken evenly from the
    whole stream (every second text, every fourth …); they are held in memory. positions: what the model can read.
    Takes about 4 s for a million characters (unigram 8).
    """
    room = vocabulary - sentinels
    if kind == "wordpiece":
        backend = _wordpiece(texts, room, architecture, chinese, lowercase, characters)
    else:
        backend = learn_tokenizer(
            texts,
            vocabulary=room,
            kind=kind,
            special=READING if architecture == "encoder" else WRITING,
            chinese=chinese,
            lowercase=lowercase,
            characters=characters,
        )
    if sentinels:
        backend.add_special_tokens([_special(SENTINEL.format(at)) for at in range(sentinels)])
    return dressed(backend, architecture=architecture, positions=positions)


def sentinels(tokenizer: Any) -> list[int]:
    """Numbers of <extra_id_0> and on; none where it has none."""
    found: list[int] = []
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    while (number := backend.token_to_id(SENTINEL.format(len(found)))) is not None:
        found.append(number)
    return found


def dressed(backend: Any, *, architecture: Architecture, positions: int) -> Any:
    """The tokenizers.Tokenizer as transformers takes it, with the special tokens of an architecture."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    names: dict[str, Any]
    if architecture == "encoder":
        pad, unknown, cls, sep, mask = READING
        backend.post_processor = processors.TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=[(token, backend.token_to_id(token)) for token in (cls, sep)],
        )
        names = {"pad_token": pad, "unk_token": unknown, "cls_token": cls, "sep_token": sep, "mask_token": mask}
        names["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    else:
        end = END if architecture == "encoder-decoder" else TURN_END
        names = {"pad_token": PAD, "unk_token": UNKNOWN, "eos_token": end}
    if architecture == "encoder-decoder":
        backend.post_processor = processors.TemplateProcessing(
            single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, backend.token_to_id(END))]
        )
    fast: Any = PreTrainedTokenizerFast
    tokenizer = fast(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        model_max_length=positions,
        padding_side="left" if architecture == "decoder" else "right",
        **names,
    )
    if architecture == "decoder":
        tokenizer.chat_template = CHATML
    return tokenizer


def learn_tokenizer(
    texts: Iterable[str],
    *,
    vocabulary: int,
    kind: Literal["bpe", "unigram"] = "bpe",
    special: tuple[str, ...] = WRITING,
    chinese: Chinese = "none",
    lowercase: bool = False,
    characters: int = LEARNT_CHARS,
) -> Any:
    """A `tokenizers.Tokenizer` that gives every text back as it was. vocabulary: pieces at most, special ones included.

    A word keeps the blank before it, figures stand each for themselves. No special piece and no byte's name can come
    out of a text, for the pattern cuts their brackets off.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    empty = Tokenizer(models.BPE())
    if lowercase:
        empty.normalizer = normalizers.Lowercase()
    # Chinese or Japanese, figures one by one, a word with the blank before it, marks, blanks
    unspaced = f"[{UNSPACED_CLASS}]" + ("" if chinese == "characters" else "+")
    pattern = rf"{unspaced}|\d| ?[^\W\d_{UNSPACED_CLASS}]+| ?[^\s\w]+|_+|\s"
    empty.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    words = _words(empty, evenly(texts, characters), by_word=chinese == "words", marks=False)
    first = [*special, *BYTES]
    room = max(vocabulary - len(first), 0)
    alphabet = _alphabet(words, most=min(max(64, vocabulary // 2), room))
    unknown = special.index(UNKNOWN if UNKNOWN in special else READING[1])
    model: dict[str, Any]
    if kind == "bpe":
        joined = _merged(words, alphabet, count=room - len(alphabet))
        numbers = {piece: at for at, piece in enumerate((*first, *(letter for letter, _ in alphabet)))}
        for a, b in joined:
            numbers.setdefault(a + b, len(numbers))
        model = {"type": "BPE", "vocab": numbers, "merges": joined, "unk_token": special[unknown]}
        model |= {"dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None}
        model |= {"fuse_unk": False, "byte_fallback": True, "ignore_merges": False}
    else:
        seeds = _merged(words, alphabet, count=4 * room)
        told = Counter[str]()
        for word, times in words.items():
            told["".join(letter for letter, _ in word)] += times
        scores = unigram(told, [letter for letter, _ in alphabet], [a + b for a, b in seeds], vocabulary=room)
        worst = min(scores.values(), default=0.0)
        listed = [[piece, 0.0] for piece in special] + [[piece, worst] for piece in BYTES]
        model = {"type": "Unigram", "unk_id": unknown, "byte_fallback": True, "vocab": [*listed, *scores.items()]}
    content = json.loads(empty.to_str()) | {"model": model}
    made = Tokenizer.from_str(json.dumps(content))
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    # the bytes are pieces like any other: a text that says <0x41> must not turn into an A
    made.add_special_tokens([_special(token) for token in special])
    return made


def _wordpiece(
    texts: Iterable[str],
    vocabulary: int,
    architecture: Architecture,
    chinese: Chinese,
    lowercase: bool,
    characters: int,
) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    special = READING if architecture == "encoder" else WRITING
    unknown = READING[1] if architecture == "encoder" else UNKNOWN
    empty = Tokenizer(models.WordPiece(unk_token=unknown))
    empty.normalizer = normalizers.BertNormalizer(handle_chinese_chars=False, lowercase=lowercase)
    unspaced = f"[{UNSPACED_CLASS}]" + ("" if chinese == "characters" else f"{{1,{RUN}}}")
    empty.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Split(Regex(unspaced), "isolated")]
    )
    words = _words(empty, evenly(texts, characters), by_word=chinese == "words", marks=True)
    room = max(vocabulary - len(special), 0)
    alphabet = _alphabet(words, most=min(max(64, vocabulary // 2), room))
    pieces = [*special, *(GO_ON * goes_on + letter for letter, goes_on in alphabet)]
    numbers = {piece: at for at, piece in enumerate(pieces)}
    for a, b in _merged(words, alphabet, count=room - len(alphabet)):
        numbers.setdefault(a + b.removeprefix(GO_ON), len(numbers))
    empty.model = models.WordPiece(numbers, unk_token=unknown, max_input_chars_per_word=100)
    empty.decoder = decoders.WordPiece(prefix=GO_ON, cleanup=False)
    empty.add_special_tokens([_special(token) for token in special])
    return empty


def evenly(texts: Iterable[str], characters: int) -> list[str]:
    """Texts of at most `characters` in all, taken evenly from a stream: all of them, every second, every fourth …"""
    kept: list[str] = []
    total, stride = 0, 1
    for at, text in enumerate(texts):
        if at % stride:
            continue
        kept.append(text)
        total += len(text)
        while total > characters and len(kept) > 1:
            kept, stride = kept[::2], 2 * stride
            total = sum(map(len, kept))
    return [text[:characters] for text in kept]


def _words(tokenizer: Any, texts: Iterable[str], *, by_word: bool, marks: bool) -> Words:
    """What the pieces are learnt from: every stretch that is cut alone, its characters and how often it occurs.

    by_word: Chinese ones cut into words. marks: say of each character whether it goes on in its stretch.
    """
    stretches: Counter[str] = Counter()
    normalise: Callable[[str], str] = tokenizer.normalizer.normalize_str if tokenizer.normalizer else str
    for text in texts:
        stretches.update(one for one, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalise(text)))
    found: Counter[tuple[tuple[str, bool], ...]] = Counter()
    for stretch, times in sorted(stretches.items()):
        at = 0
        for word in _cut(stretch) if by_word else (stretch,):
            found[tuple((letter, marks and at + i > 0) for i, letter in enumerate(word))] += times
            at += len(word)
    return found


def _cut(stretch: str) -> list[str]:
    from burnish.text.segment import segmented

    return segmented(stretch)


def _alphabet(words: Words, *, most: int) -> list[tuple[str, bool]]:
    """The commonest characters, in the order of their code points."""
    counts: Counter[tuple[str, bool]] = Counter()
    for word, times in words.items():
        for letter in word:
            counts[letter] += times
    return sorted(sorted(counts, key=lambda letter: (-counts[letter], letter))[:most])


def _merged(words: Words, alphabet: list[tuple[str, bool]], *, count: int) -> list[tuple[str, str]]:
    """Pairs of pieces that become one, in order; pieces that go on are written with ##."""
    numbers = {letter: at for at, letter in enumerate(alphabet)}
    known: Counter[tuple[int, ...]] = Counter()
    for word, times in words.items():
        run: list[int] = []
        for letter in (*word, None):  # what is not of the alphabet parts a word
            if letter is not None and letter in numbers:
                run.append(numbers[letter])
            elif run:
                known[tuple(run)] += times
                run = []

    def written(units: tuple[int, ...]) -> str:
        return GO_ON * alphabet[units[0]][1] + "".join(alphabet[unit][0] for unit in units)

    return [(written(a), written(b)) for a, b in merges(known, count=count, longest=LONGEST)]


def _special(token: str) -> Any:
    from tokenizers import AddedToken

    return AddedToken(token, special=True, normalized=False)
