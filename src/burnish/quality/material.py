"""What checks look at beyond texts and labels: slices, times, words counted, vectors and neighbours; computed when first asked for."""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa

from burnish.core.records import labels_of
from burnish.core.spread import Spread, elsewhere, spread
from burnish.core.stage import Context
from burnish.measures.duplicates import Groups, equal_keys, near_duplicates, near_duplicates_of_parts
from burnish.measures.duplicates_on_disk import near_duplicates_on_disk
from burnish.quality import traits
from burnish.quality.bag import Bag, gathered, words_of
from burnish.quality.told import Told
from burnish.quality.traits import Array as Array
from burnish.quality.traits import Asked, Block, Trait
from burnish.text.groups import DEFAULT, read_groups
from burnish.text.inputs import parts, said
from burnish.text.language import Languages
from burnish.text.lengths import lengths
from burnish.text.lines import Lines
from burnish.text.normalise import normalised
from burnish.text.obfuscation import Hidden

Made = TypeVar("Made")
Embed = Literal["auto", "all", "none"]
MOST_VALUES = 50  # a field with more values names records, not slices
LEAST_COVERED = 0.5  # share of the records that a field of meta must be in to make slices of them
NEIGHBOURS = 10
LEAST_EMBEDDED = 30  # of fewer labelled records no check that sees vectors would say anything
NO_VECTORS = "needs vectors: `embed: auto` embeds records with class labels, `embed: all` every record"
_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class Slices:
    """One way to divide n records: the values in their order, and the number of each record's, -1 for none (n,)."""

    values: tuple[str, ...]
    number: Array

    @property
    def counts(self) -> Array:
        found: Array = np.bincount(self.number[self.number >= 0], minlength=len(self.values))
        return found


@dataclass(frozen=True)
class Outside:
    """A file beside the data: texts, and labels of the task (-1 for none)."""

    name: str
    texts: list[str]
    labels: Array


class Views:
    """The part of Material that computes; Material says what the records are."""

    context: Context
    told: Told
    near: float
    texts: Lines
    task: Any
    labels: Array
    one_label: bool
    backbone: str
    embed: Embed
    reference: Path | None
    against: Path | None
    _table: pa.Table
    _traits: dict[Trait, pa.ChunkedArray]
    run: Spread | None = None  # who works on blocks; the audit opens one for all its checks

    def __len__(self) -> int:
        return len(self.texts)

    @functools.cached_property
    def asked(self) -> Asked:
        """What a block must know; files that were named are read here, for no other machine may have them."""
        told, task = self.told, self.context.task
        hidden = Hidden.read(told.toxic_words) if told.toxic_words else None
        labels = self.names if self.one_label else ()
        return Asked(task.languages, labels, read_groups(told.groups or DEFAULT), hidden)

    def trait(self, trait: Trait) -> pa.ChunkedArray:
        """(n,) what every record says by itself."""
        self.look([trait])
        return self._traits[trait]

    def look(self, wanted: Iterable[Trait]) -> None:
        """Find these traits in one pass over the texts; those that are known are not looked for again."""
        new = [trait for trait in dict.fromkeys(wanted) if trait not in self._traits]
        if not new:
            return
        job = functools.partial(traits.read, traits=new, asked=self.asked)
        batches = list(self._spread(job, self._blocks)) or [job(self._blocks.slice(0, 0))]
        for trait, column in zip(new, pa.Table.from_batches(batches).columns, strict=True):
            self._traits[trait] = column

    def walked(
        self, function: Callable[[Block], Made], *, rows: Array | None = None, **columns: pa.Array | pa.ChunkedArray
    ) -> Iterator[Made]:
        """function(block) of every block, in order. rows: of these records alone. columns: (n,) what a block shows besides."""
        table = self._blocks
        for name, values in columns.items():
            table = table.append_column(name, values)
        job = functools.partial(traits.apply, function=function, asked=self.asked)
        return self._spread(job, table if rows is None else table.take(pa.array(rows)))

    @property
    def _blocks(self) -> pa.Table:
        """What blocks are cut from."""
        table = self._table.select([name for name in traits.COLUMNS if name in self._table.column_names])
        return table.append_column("people", self._people)

    @functools.cached_property
    def _people(self) -> pa.Array:
        """(n,) the people that the named model finds in each text; it is asked here, not by every worker."""
        if self.told.names_model is None:
            return pa.nulls(len(self), pa.list_(pa.string()))
        from burnish.quality.redact import people_of

        rows = [row for row, text in enumerate(self.texts) if text.strip()]
        names = people_of(self.told.names_model)([self.texts[row] for row in rows])
        of = dict(zip(rows, names, strict=True))
        return pa.array([of.get(row) for row in range(len(self))], pa.list_(pa.string()))

    def _spread(self, job: Callable[[Any], Made], table: pa.Table) -> Iterator[Made]:
        blocks = traits.cut(table)
        first = list(islice(blocks, 2))
        if len(first) < 2 or not elsewhere(self.context.engine):  # what is done at once is not worth a process
            return map(job, chain(first, blocks))
        return self._run(job, map(traits.sealed, chain(first, blocks)))

    @property
    def _run(self) -> Spread:
        return self.run or functools.partial(spread, engine=self.context.engine)

    @functools.cached_property
    def blank(self) -> Array:
        """(n,) texts without a letter or a figure."""
        return traits.field(self.trait(measured), "blank")

    @functools.cached_property
    def languages(self) -> Languages:
        found = self.trait(measured)
        return Languages(traits.field(found, "language").astype("<U8"), traits.field(found, "reliable"))

    @functools.cached_property
    def same(self) -> Groups:
        """Groups of equal texts."""
        return equal_keys(traits.field(self.trait(measured), "form"))

    @functools.cached_property
    def alike(self) -> Groups:
        """Groups of equal and similar texts."""
        if len(self._table) == self._table["messages"].null_count == self._table["text_b"].null_count:
            return self._near(self.texts)
        return near_duplicates_of_parts(parts(self._table), threshold=self.near, grouping=self._near)

    def _near(self, texts: Sequence[str]) -> Groups:
        """In memory where one block holds them; else texts, sketches and keys lie on disk, 392 bytes a record and the texts."""
        if len(texts) <= traits.RECORDS:
            return near_duplicates(list(texts), threshold=self.near)
        with tempfile.TemporaryDirectory(dir=self.context.scratch) as folder:
            return near_duplicates_on_disk(_batches(texts), Path(folder), threshold=self.near, spread=self._run)

    @property
    def names(self) -> tuple[str, ...]:
        """The task's labels, in class order."""
        return self.context.task.labels

    @functools.cached_property
    def labelled(self) -> Array:
        """Positions of the records with a label of the task; Material finds them."""
        raise NotImplementedError

    def column(self, name: str) -> list[Any]:
        values: list[Any] = self._table[name].to_pylist()
        return values

    @functools.cached_property
    def meta(self) -> list[dict[str, Any]]:
        """(n,) everything else a record carries."""
        nothing: dict[str, Any] = {}  # one for all that carry nothing
        return [json.loads(text) if text else nothing for text in self.column("meta")]

    @functools.cached_property
    def named(self) -> list[list[str]]:
        """(n,) the labels that each record's target names, repeats included."""
        targets = [name for name in self.task.target if name in self._table.schema.names]
        rows = self._table.select(targets).to_pylist() if targets else [{}] * len(self)
        return [labels_of(row, targets) for row in rows]

    @functools.cached_property
    def slices(self) -> dict[str, Slices]:
        """Name -> slices: source, file, language, licence, and fields of meta that half of the records have, where there are
        2 to 50 values. Languages are those the records name, else those that the texts are in."""
        columns: dict[str, list[Any]] = {name: self.column(name) for name in ("source", "file", "licence")}
        given = self.column("language")
        found_codes, often = np.unique(self.languages.code, return_counts=True)
        usual = {
            str(code)
            for code, count in zip(found_codes, often, strict=True)
            if code != "und" and count >= 0.01 * len(self)
        }
        guessed = [
            code if code in usual else None for code in self.languages.code.tolist()
        ]  # stray guesses are no slice
        columns["language"] = [own or code for own, code in zip(given, guessed, strict=True)]
        seen: dict[str, int] = {}
        for one in self.meta:
            for name, value in one.items():
                if isinstance(value, str | int | bool):
                    seen[name] = seen.get(name, 0) + 1
        for name, count in seen.items():
            if count >= LEAST_COVERED * len(self):
                columns[f"meta.{name}"] = [one.get(name) for one in self.meta]
        found = {}
        for name, values in columns.items():
            kinds = {value for value in values if isinstance(value, str | int | bool)}
            if 2 <= len(kinds) <= MOST_VALUES:
                ordered = tuple(sorted(map(str, kinds)))
                at = {value: number for number, value in enumerate(ordered)}
                numbers = [at.get(str(value), -1) if value is not None else -1 for value in values]
                found[name] = Slices(ordered, np.array(numbers, dtype=np.int64))
        if "file" in found and "source" in found and _same(found["file"], found["source"]):
            del found["file"]
        return found

    @functools.cached_property
    def days(self) -> Array:
        """(n,) days since 1970 as floats, NaN where a record has no time."""
        stamps = self._table["time"].cast(pa.int64()).to_numpy()  # with NaN for None
        return np.asarray(stamps / _DAY, dtype=np.float64)

    @functools.cached_property
    def bag(self) -> Bag:
        with tempfile.TemporaryDirectory(dir=self.context.scratch) as folder:
            return gathered(self.walked(words_of), Path(folder))

    @functools.cached_property
    def seen(self) -> Array:
        """Positions of the records that have vectors: (s,)."""
        if self.embed == "all":
            return np.arange(len(self))
        enough = self.one_label and len(self.labelled) >= LEAST_EMBEDDED
        return self.labelled if self.embed == "auto" and enough else np.zeros(0, dtype=np.int64)

    def embedded(self, texts: list[str]) -> Array:
        """Vectors (m, d) of length 1 of any texts."""
        from burnish.nn.backbones import resolve
        from burnish.nn.embeddings import embed

        progress = self.context.progress
        folder: Path = resolve(self.backbone, languages=self.context.task.languages, progress=progress)
        return embed(texts, folder, cache=self.context.cache, progress=progress)

    @functools.cached_property
    def raw_points(self) -> Array:
        """Embeddings (s, d) of the records in `seen`, as the backbone gives them."""
        return self.embedded([self.texts[row] for row in self.seen])

    @functools.cached_property
    def points(self) -> Array:
        """The same, centred: cosines tell texts apart."""
        from burnish.nn.embeddings import centre

        return centre(self.raw_points)

    @functools.cached_property
    def neighbours(self) -> tuple[Array, Array]:
        """Positions among `seen` (s, 10) and cosines of the nearest records that are no near-duplicates of the record."""
        from burnish.measures.neighbours import nearest

        return nearest(self.points, NEIGHBOURS, groups=self.alike.label[self.seen])

    @functools.cached_property
    def topics(self) -> tuple[Array, Array, list[list[str]]]:
        """Clusters of the records in `seen`, largest first: numbers (s,), centres (c, d), and the words each is named by."""
        from burnish.measures.association import group_counts, naming
        from burnish.measures.diversity import clusters

        count = int(np.clip(np.sqrt(len(self.seen) / 2), 2, 24))
        number, centres = clusters(self.points, count, seed=self.context.seed)
        per = group_counts(self.bag.counts[self.seen], number, len(centres))
        return number, centres, naming(per, self.bag.words)

    @functools.cached_property
    def test_sets(self) -> list[Outside]:
        """The named test sets, a file each."""
        return list(outside(self.against, self.context)) if self.against else []

    @functools.cached_property
    def population(self) -> Outside | None:
        """The target population, all its files as one."""
        if not self.reference:
            return None
        found = list(outside(self.reference, self.context))
        texts = [text for one in found for text in one.texts]
        return Outside(self.reference.name, texts, np.concatenate([one.labels for one in found]))


def _batches(texts: Iterable[str]) -> Iterator[pa.Array]:
    every = iter(texts)
    while batch := list(islice(every, traits.RECORDS)):
        yield pa.array(batch, pa.string())


def measured(block: Block) -> pa.Array:
    """Sizes, language, and 64 bits of the form that copies share (two others share them once in 10^19 pairs)."""
    found, sizes = block.languages, lengths(block.texts)
    forms = [hashlib.blake2b(form.encode("utf-8"), digest_size=8).digest() for form in normalised(block.texts)]
    columns = {
        "blank": pa.array([not any(map(str.isalnum, text)) for text in block.texts], pa.bool_()),
        "language": pa.array(found.code.tolist(), pa.string()),
        "reliable": pa.array(found.reliable, pa.bool_()),
        "letters": pa.array([sum(map(str.isalpha, text)) for text in block.texts], pa.int32()),
        "characters": pa.array(sizes.characters, pa.int32()),
        "words": pa.array(sizes.words, pa.int32()),
        "form": pa.array(np.frombuffer(b"".join(forms), dtype=np.uint64)),
    }
    return pa.StructArray.from_arrays(list(columns.values()), list(columns))


def _same(one: Slices, other: Slices) -> bool:
    return (
        len(set(zip(one.number.tolist(), other.number.tolist(), strict=True))) == len(one.values) == len(other.values)
    )


def outside(path: Path, context: Context) -> Iterator[Outside]:
    """The records of a file, or of each file of a folder, of any format that `burnish import` reads."""
    from burnish.core.records import SCHEMA, Reject
    from burnish.formats.base import FORMATS
    from burnish.formats.guess import read_records

    position = {label: number for number, label in enumerate(context.task.labels)}
    files = (
        sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
        if path.is_dir()
        else [path]
    )
    for file in files:
        [part] = FORMATS.open("auto")
        tables = [one for one in read_records(file, part, base=context.base) if not isinstance(one, Reject)]
        table = pa.concat_tables([SCHEMA.empty_table(), *tables])
        labels = np.array([position.get(label, -1) for label in table["label"].to_pylist()], dtype=np.int64)
        yield Outside(file.name, said(table), labels)
