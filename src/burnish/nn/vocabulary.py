"""A pretrained model's vocabulary made larger by the words of a domain, or smaller by what is never said there.

New pieces are pairs of old ones that stand beside one another most often in the texts, joined again and again; the vector
of a new one starts as the mean of the old ones it replaces (Hewitt 2021: no outlier meets the first step). Without the
pieces that a domain never uses the rest says the same with fewer rows: a text whose pieces all stay gets the same numbers.

The tokenizer is one of transformers' fast ones: BPE, WordPiece or Unigram. Weights move tensor by tensor, whatever the
architecture: those that change are the ones whose shape depends on the size of the vocabulary.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.core.errors import WeightsError
from burnish.nn.merging import Merge, merges
from burnish.nn.quiet import silent_loading
from burnish.nn.tokenizer_json import BROKEN, KINDS, SPACE, Pieces

LONGEST = 8  # old pieces in a new one
MARGIN = 1e-4  # by which a new Unigram piece is more probable than the pieces it replaces
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
CHARACTERS = 20_000_000  # of the texts
AT_ONCE = 1024  # texts of one call of the tokenizer


def extend(
    folder: str | Path, out: str | Path, texts: Iterable[str], *, add: int, least: int = 5, characters: int = CHARACTERS
) -> dict[str, Any]:
    """Write the model of `folder` with new pieces into the new folder `out`.

    Gives {"added", "pieces" (the new ones), "tokens_before", "tokens_after"}, tokens of the texts without special ones.
    add: new pieces at most; fewer where the texts have no more. least: times a new piece must occur.
    characters: of the texts that are read, taken evenly. Old pieces keep their numbers, but tokens added behind the
    model's own vocabulary move up. Characters that it does not know stay unknown. Memory: the weights once, beside the different words of the texts.
    """
    tokenizer = _tokenizer(folder)
    backend = tokenizer.backend_tokenizer
    old = Pieces(json.loads(backend.to_str()))
    stretches = _stretches(backend, texts, characters)
    words: Counter[tuple[int, ...]] = Counter()
    before = 0
    for stretch, times in stretches.items():
        cut = [one.id for one in backend.model.tokenize(stretch)]
        before += times * len(cut)
        for word in _joinable(cut, old):
            words[word] += times
    exact = old.kind == "BPE"  # there a piece is made of others, and all of those must be there
    found = merges(words, count=add if exact else 2 * add, least=least, longest=LONGEST)
    grown = _Grown(old, found)
    if not exact:
        grown.keep(stretches, most=add, least=least)
    content, moved = grown.content()
    rows: dict[int, Sequence[int]] = {now: [was] for was, now in moved.items()}
    rows |= dict(enumerate(grown.made.values(), start=max(old.of_model) + 1))
    _rewrite(Path(folder), Path(out), tokenizer, content, rows, moved)
    after = _count(content, stretches)
    return {
        "added": len(grown.made),
        "pieces": list(grown.made),
        "tokens_before": before,
        "tokens_after": sum(times * len(stretch) for stretch, times in after),
    }


def trim(
    folder: str | Path,
    out: str | Path,
    texts: Iterable[str],
    *,
    least: int = 1,
    single: bool = True,
    always: Callable[[str, int], bool] | None = None,
) -> dict[str, Any]:
    """Write the model of `folder` without the pieces that the texts do not use into the new folder `out`.

    Gives {"kept", "dropped"}, pieces. least: times a piece must occur to stay. single: pieces of one character stay, so
    that nothing becomes unknown that was not. always: says of a piece and its number that it stays, whatever the texts
    say. Special tokens and bytes stay, and in BPE what the kept pieces are joined from. Reads all texts, a batch at a time.
    """
    tokenizer = _tokenizer(folder)
    old = Pieces(json.loads(tokenizer.backend_tokenizer.to_str()))
    seen = _seen(tokenizer.backend_tokenizer, texts)

    def stays(number: int, piece: str) -> bool:
        alone = old.is_byte(piece) or (single and len(old.said(piece)) <= 1)
        return seen[number] >= least or alone or (always is not None and always(piece, number))

    kept = {number for number, piece in old.of_model.items() if stays(number, piece)} | old.special
    if old.kind == "BPE":
        kept = old.parts(kept)
    moved = {was: now for now, was in enumerate(sorted(kept))}
    rows = {now: [was] for was, now in moved.items()}
    _rewrite(Path(folder), Path(out), tokenizer, old.renumbered(moved), rows, moved)
    return {"kept": len(kept), "dropped": len(old.all) - len(kept)}


class _Grown:
    """New pieces: made of which old ones, in which order. made: new piece -> numbers of the old ones in it."""

    def __init__(self, old: Pieces, found: Sequence[Merge]) -> None:
        self.old = old
        there = set(old.all.values())
        self.pairs: list[tuple[str, str]] = []
        self.made: dict[str, tuple[int, ...]] = {}
        self.scores: dict[str, float] = {}
        if old.kind == "Unigram":
            self.scores = dict(old.content["model"]["vocab"])
        for a, b in found:
            first, second = (old.joined([old.all[one] for one in part]) for part in (a, b))
            piece = old.joined([first, second])
            self.pairs.append((first, second))
            if piece not in there:
                self.made.setdefault(piece, (*a, *b))
            if old.kind == "Unigram" and piece not in self.scores:
                self.scores[piece] = self.scores[first] + self.scores[second] + MARGIN

    def content(self) -> tuple[dict[str, Any], dict[int, int]]:
        return self.old.grown(list(self.made), scores=self.scores, merges=self.pairs)

    def keep(self, stretches: Mapping[str, int], *, most: int, least: int) -> None:
        """Only the pieces that save most tokens where all of them are there: steps on the way to others go."""
        used: Counter[str] = Counter()
        for stretch, times in _count(self.content()[0], stretches):
            for piece in stretch:
                used[piece] += times
        saved = {piece: used[piece] * (len(units) - 1) for piece, units in self.made.items() if used[piece] >= least}
        best = sorted(saved, key=lambda piece: (-saved[piece], piece))[:most]
        self.made = {piece: units for piece, units in self.made.items() if piece in set(best)}


def _count(content: Mapping[str, Any], stretches: Mapping[str, int]) -> Iterator[tuple[list[str], int]]:
    """The pieces of every stretch, and how often it occurs."""
    from tokenizers import Tokenizer

    model = Tokenizer.from_str(json.dumps(content)).model
    for stretch, times in stretches.items():
        yield [one.value for one in model.tokenize(stretch)], times


def _tokenizer(folder: str | Path) -> Any:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    kind = type(tokenizer.backend_tokenizer.model).__name__ if tokenizer.is_fast else "a slow one"
    if kind not in KINDS:
        raise WeightsError(
            f"its tokenizer is {kind}: only the vocabulary of {', '.join(KINDS)} can be changed",
            where=str(folder),
            hint="keep the vocabulary as it is",
        )
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True  # a text that says [MASK] says six letters
    return tokenizer


def _stretches(backend: Any, texts: Iterable[str], characters: int) -> Counter[str]:
    """What the model is given one by one, and how often."""
    from burnish.nn.pieces import evenly

    found: Counter[str] = Counter()
    for text in evenly(texts, characters):
        read = backend.normalizer.normalize_str(text) if backend.normalizer else text
        parts = backend.pre_tokenizer.pre_tokenize_str(read) if backend.pre_tokenizer else [(read, None)]
        found.update(part for part, _ in parts)
    return Counter(dict(sorted(found.items())))


def _joinable(numbers: Sequence[int], old: Pieces) -> Iterator[tuple[int, ...]]:
    """Runs of pieces that may become one: of one word, without bytes, figures, marks and what is unknown."""
    run: list[int] = []
    for number in numbers:
        piece = old.all[number]
        said = "" if number in old.special else old.said(piece)
        figure = bool(said) and not any(letter.isalpha() or letter == BROKEN for letter in said)
        fallback = piece.startswith("<0x") and old.is_byte(piece)  # joined they would be read as their names
        apart = number in old.special or fallback or figure
        if run and (apart or piece.startswith(SPACE)):
            yield tuple(run)
            run = []
        if not apart:
            run.append(number)
    if run:
        yield tuple(run)


def _seen(backend: Any, texts: Iterable[str]) -> Counter[int]:
    """How often each number occurs."""
    seen: Counter[int] = Counter()
    some: list[str] = []

    def look() -> None:
        for one in backend.encode_batch_fast(some):
            seen.update(one.ids)
        some.clear()

    for text in texts:
        some.append(text)
        if len(some) == AT_ONCE:
            look()
    look()
    return seen


@silent_loading()
def _rewrite(
    folder: Path,
    out: Path,
    tokenizer: Any,
    content: Mapping[str, Any],
    rows: Mapping[int, Sequence[int]],
    moved: Mapping[int, int],
) -> None:
    """Write the folder with another vocabulary. rows: new number -> the old ones whose mean it starts as.

    Its name is the last act. Raises WeightsError where `out` exists, or no weight depends on the vocabulary.
    """
    from safetensors.torch import save_file
    from tokenizers import Tokenizer
    from transformers import AutoConfig, PreTrainedTokenizerFast

    if out.exists():
        raise WeightsError("is there already", where=str(out), hint="remove it, or name another folder")
    config: Any = AutoConfig.from_pretrained(folder)
    making = out.with_name(f".making-{out.name}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    sizes = _bound(config, len(rows))
    tensors, changed = {}, 0
    for name, tensor in _tensors(folder):
        axis = _axis(name, sizes)
        changed += axis is not None
        tensors[name] = tensor if axis is None else _moved(tensor, rows, axis)
    if not changed:
        raise WeightsError("has no embedding that its configuration knows", where=str(folder))
    save_file(tensors, making / "model.safetensors", metadata={"format": "pt"})
    _renumber(config, moved)
    config.vocab_size = len(rows)
    config.save_pretrained(making)
    _generation(folder, making, moved)
    fast: Any = PreTrainedTokenizerFast
    names = {name: str(token) for name in NAMED if (token := getattr(tokenizer, name)) is not None}
    made = fast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        padding_side=tokenizer.padding_side,
        clean_up_tokenization_spaces=False,
        **names,
    )
    made.chat_template = tokenizer.chat_template
    made.save_pretrained(making)
    if (folder / "backbone.json").is_file():
        shutil.copy(folder / "backbone.json", making)
    os.replace(making, out)


def _tensors(folder: Path) -> Iterator[tuple[str, Any]]:
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"no model.safetensors in {folder}", hint="give a folder in transformers' layout")
    for file in files:
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118  it is no dict
                yield name, opened.get_tensor(name)


def _bound(config: Any, size: int) -> dict[str, int]:
    """Name -> axis, of the weights whose shape depends on the size of the vocabulary."""
    import copy

    import torch
    import transformers

    family = getattr(transformers, (config.architectures or ["AutoModel"])[0])
    make = family.from_config if family is transformers.AutoModel else family._from_config
    other = copy.deepcopy(config)
    other.vocab_size = config.vocab_size + 8  # whatever the new size is: the shapes differ
    with torch.device("meta"):
        shapes, others = (
            {name: one.shape for name, one in make(made).state_dict().items()} for made in (config, other)
        )
    return {name: axis for name, shape in shapes.items() for axis, n in enumerate(shape) if n != others[name][axis]}


def _axis(name: str, sizes: Mapping[str, int]) -> int | None:
    """The axis of a stored weight that is the vocabulary; names may have lost or gained the prefix of the body."""
    if name in sizes:
        return sizes[name]
    found = [axis for known, axis in sizes.items() if known.endswith(f".{name}") or name.endswith(f".{known}")]
    return found[0] if found else None


def _moved(tensor: Any, rows: Mapping[int, Sequence[int]], axis: int) -> Any:
    """The weights of the new numbers in order: each the mean, in fp32, of those of old numbers."""
    import torch

    first = torch.tensor([rows[now][0] for now in range(len(rows))])
    made = tensor.index_select(axis, first)
    for now, units in rows.items():
        if len(units) > 1:
            mean = tensor.index_select(axis, torch.tensor(list(units))).float().mean(axis)
            made.select(axis, now).copy_(mean)
    return made.contiguous()


def _renumber(config: Any, moved: Mapping[int, int]) -> None:
    """Set every setting that names a token by its number to the new one."""
    for name, value in list(vars(config).items()):
        if name.endswith(("token_id", "token_ids")) and value is not None:
            numbers = (
                [moved.get(number, number) for number in value] if isinstance(value, list) else moved.get(value, value)
            )
            setattr(config, name, numbers)


def _generation(folder: Path, out: Path, moved: Mapping[int, int]) -> None:
    if (folder / "generation_config.json").is_file():
        from transformers import GenerationConfig

        config: Any = GenerationConfig.from_pretrained(folder)
        _renumber(config, moved)
        config.save_pretrained(out)
