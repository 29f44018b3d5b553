"""What pre-training begins with, made once and found again after a kill: tokenizer, first weights, shards of tokens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from burnish.core.artifacts import write_json
from burnish.core.errors import BurnishError
from burnish.core.stage import Context
from burnish.nn.backbones import AUTO, FRESH
from burnish.nn.pretraining.base import AUTO as BY_KIND
from burnish.nn.pretraining.base import Pretraining, check, chosen, pretraining

DONE = "prepared.json"  # written last: what stands beside it is whole
LENGTHS = {"encoder": 128, "decoder": 256, "encoder-decoder": 256}
LOOKED_AT = 200_000  # documents that the size of a vocabulary is decided by

Documents = Callable[[], Iterable[dict[str, Any]]]


@dataclass(frozen=True)
class Wanted:
    """The settings of `train.pretrain` that decide what is prepared."""

    start: str
    kind: str | None
    size: str
    objective: Any
    tokenizer: str
    vocabulary: int | str
    chinese: str
    lowercase: bool | str
    extend: int
    trim: bool
    length: int | str
    packing: str
    held_out: float


@dataclass(frozen=True)
class Prepared:
    """folder: a backbone with its tokenizer; corpus: of `nn.corpus`; fresh: its weights are random."""

    folder: Path
    tokenizer: Any
    corpus: Any
    kind: str
    length: int
    fresh: bool
    facts: dict[str, Any]

    def sides(self, judged: Pretraining | None, *, seed: int) -> tuple[Any, Any]:
        """(training windows, held-out windows or None), as pairs where sentences are judged."""
        train, held = self.corpus.examples("train"), self.corpus.examples("validation")
        if judged is not None:
            from burnish.nn.sentence_pairs import pairs_of

            more: dict[str, Any] = {
                "ask": judged.pairs,
                "separator": int(self.tokenizer.sep_token_id),
                "length": self.length,
            }
            train, held = (pairs_of(side, seed=seed + at, **more) for at, side in enumerate((train, held)))
        if not len(train):
            raise BurnishError(
                "no window of text is left to learn from",
                hint="more text, a smaller train.pretrain.length, or held_out: 0",
            )
        return train, held if len(held) else None


def prepare(wanted: Wanted, documents: Documents, folder: Path, *, context: Context) -> Prepared:
    """Make, or find, all that does not depend on how it is learnt. folder: of this step alone."""
    from transformers import AutoTokenizer

    from burnish.nn.language_models import kind_of

    done = folder / DONE
    if not done.is_file():  # of what a killed run left the corpus goes on by itself, the rest is made again
        shutil.rmtree(folder / "start", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        facts = _start(wanted, documents, folder, context)
        write_json(done, {"facts": facts, "wanted": {name: str(value) for name, value in asdict(wanted).items()}})
    start = folder / "start"
    told = json.loads(done.read_text("utf-8"))["facts"]
    corpus = _corpus(told, documents, AutoTokenizer.from_pretrained(start), folder / "corpus", wanted, context)
    return Prepared(
        folder=start,
        tokenizer=AutoTokenizer.from_pretrained(start),
        corpus=corpus,
        kind=kind_of(start),
        length=int(told["length"]),
        fresh=wanted.start == FRESH,
        facts={**told, **corpus.facts},
    )


def _start(wanted: Wanted, documents: Documents, folder: Path, context: Context) -> dict[str, Any]:
    """The backbone in `folder`/start, and what was decided."""
    from burnish.nn.language_models import kind_of

    facts: dict[str, Any] = {}
    if wanted.start == FRESH:
        kind = wanted.kind or next((one.kind for one in pretraining.open(wanted.objective)), "encoder")
        _fresh(wanted, kind, documents, folder / "start", context, facts)
    else:
        facts |= _taken_up(wanted, documents, folder / "start", context)
        kind = kind_of(folder / "start")
        if wanted.kind not in (None, kind):
            raise BurnishError(f"{wanted.start} is of kind {kind}, not {wanted.kind}", where="train.pretrain.kind")
    if problem := check(pretraining.open(wanted.objective), kind):
        raise BurnishError(problem, where="train.pretrain.objective", hint=f"for it there is {BY_KIND[kind]}")
    judged = chosen(wanted.objective, kind)[1]
    packing = wanted.packing if wanted.packing != "auto" else "sentences" if judged else "concatenate"
    if judged and packing != "sentences":
        raise BurnishError(
            f"{judged.name} wants whole sentences", where="train.pretrain.packing", hint="packing: sentences, or auto"
        )
    length = _length(wanted, kind, folder / "start")
    return facts | {"packing": packing, "length": length, "free": 1 if judged else 0}


def _corpus(
    told: dict[str, Any], documents: Documents, tokenizer: Any, folder: Path, wanted: Wanted, context: Context
) -> Any:
    """The texts as windows of tokens on disk; that which is there, where a run before made it."""
    from burnish.nn import corpus

    if (folder / corpus.MANIFEST).is_file():
        return corpus.Corpus.open(folder)
    context.progress.tell(f"  texts as tokens, windows of {told['length']}, packed by {told['packing']}")
    return corpus.build(
        folder,
        documents(),
        tokenizer,
        length=told["length"],
        packing=told["packing"],
        held_out=wanted.held_out,
        free=told["free"],
        seed=context.seed,
        progress=context.progress,
    )


def _fresh(wanted: Wanted, kind: Any, documents: Documents, out: Path, context: Context, facts: dict[str, Any]) -> None:
    """A tokenizer learnt from the texts, and random weights."""
    from burnish.nn import architectures, pieces

    part = chosen(wanted.objective, kind)[0]
    size, why = _vocabulary(wanted, documents)
    chinese: Any = wanted.chinese
    style: Any = wanted.tokenizer if wanted.tokenizer != "auto" else "wordpiece" if kind == "encoder" else "bpe"
    context.progress.tell(f"  learning a tokenizer: {style}, at most {size:,} tokens ({why})")
    length = LENGTHS[kind] if wanted.length == "auto" else int(wanted.length)
    tokenizer = pieces.learn(
        (one["text"] for one in documents()),
        kind=style,
        vocabulary=size,
        architecture=kind,
        chinese=chinese,
        lowercase=kind == "encoder" if wanted.lowercase == "auto" else bool(wanted.lowercase),
        sentinels=part.sentinels,
        positions=length,
    )
    config = architectures.config(kind, wanted.size, vocabulary=len(tokenizer), positions=length, tokenizer=tokenizer)
    architectures.make(out, config, tokenizer, seed=context.seed)
    facts |= {"tokenizer": style, "vocabulary": len(tokenizer), "vocabulary_why": why}


def _vocabulary(wanted: Wanted, documents: Documents) -> tuple[int, str]:
    """More text pays for more pieces, and a step on a CPU pays for each of them: 8,000 up to 30 million characters."""
    if wanted.vocabulary != "auto":
        return int(wanted.vocabulary), "asked for"
    characters = sum(len(one["text"]) for one in islice(documents(), LOOKED_AT))
    size = 4000 if characters < 1e6 else 8000 if characters < 3e7 else 16_000 if characters < 3e8 else 32_000
    return size, f"{characters:,} characters"


def _taken_up(wanted: Wanted, documents: Documents, out: Path, context: Context) -> dict[str, Any]:
    """The backbone to go on with, its vocabulary trimmed and extended as asked."""
    from burnish.core.tasktypes import open_task
    from burnish.nn import vocabulary
    from burnish.nn.backbones import resolve

    name = open_task(context.task).automatic() if wanted.start == AUTO else wanted.start
    source = resolve(name, languages=context.task.languages, progress=context.progress)
    facts: dict[str, Any] = {}
    if wanted.trim:
        facts["trimmed"] = vocabulary.trim(source, out.with_name("trimmed"), (one["text"] for one in documents()))
        source = out.with_name("trimmed")
    if wanted.extend:
        texts = (one["text"] for one in documents())
        found = vocabulary.extend(source, out.with_name("extended"), texts, add=wanted.extend)
        facts["extended"] = {name: value for name, value in found.items() if name != "pieces"}
        source = out.with_name("extended")
    shutil.copytree(source, out)
    return facts


def _length(wanted: Wanted, kind: str, folder: Path) -> int:
    from transformers import AutoTokenizer

    from burnish.nn.first_look import longest

    limit = longest(folder, AutoTokenizer.from_pretrained(folder))
    return min(LENGTHS[kind] if wanted.length == "auto" else int(wanted.length), limit)
