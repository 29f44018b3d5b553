"""No test record among those that teach: records that hold, nearly hold or paraphrase one are set aside, with the proof."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa

from burnish.core import files
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError, DataError
from burnish.core.formats import shown_name
from burnish.core.records import SCHEMA, Reject
from burnish.core.stage import Context, Count, Positive, Share, stage
from burnish.core.tasktypes import targets_of
from burnish.formats.base import FORMATS
from burnish.formats.guess import read_records
from burnish.measures.duplicates import leaks
from burnish.measures.overlap import Runs
from burnish.nn.backbones import Backbone
from burnish.split.components import template
from burnish.text.inputs import said
from burnish.text.normalise import normalised

Array = np.ndarray[Any, np.dtype[Any]]
WAYS = ("exact", "template", "runs", "near", "meaning")  # the surest first
COLUMNS = ("text", "text_b", "messages", "output", "answer")
EXCERPT = 240  # characters of a text that are shown


@stage("split.decontaminate")
def decontaminate(
    records: Records,
    context: Context,
    *,
    path: Path,
    name: str = "",
    format: Annotated[Any, FORMATS] = "auto",
    fields: dict[str, str] | None = None,
    overlap: Share = 0.1,
    words: Positive = 13,
    characters: Positive = 10,
    near: Share = 0.6,
    templates: bool = True,
    meaning: Share | None = None,
    backbone: Backbone = Backbone("auto"),
    common: Count = 10,
    shown: Count = 20,
) -> Records:
    """Set aside every record that holds, nearly holds or paraphrases a record of a named test set.

    All fields of input and target are looked at: text, text_b, the turns of a conversation (the system's aside), output and
    answer. Once more for every test set: the stage may stand several times. Facts keep the proof: what was looked at, the
    thresholds, counts by way, the pairs side by side, and the nearest pairs among those that stayed.
    Memory: the test set, its runs, and a batch; with `meaning` also the vectors of the test set. Walks the records twice.

    path: the test set: a file, a folder or a glob of any format.
    name: of the test set, in reasons and reports; the path when empty.
    format: of the file; "auto" tells by what stands in it.
    fields: record field -> column or key of the test file, as for a source; then the suffix says the format.
    overlap: share of a test field's runs of words, or of the record's own, from which one is a leak of the other. Runs that
    more than `common` records have count only where all of a field is there.
    words: length of a run where words stand between blanks. characters: length of a run of Chinese or Japanese.
    near: Jaccard similarity of character sequences from which two texts are the same, 0.5..1.
    templates: what is equal once figures, addresses, accounts and quoted words are masked is the same.
    meaning: cosine of centred embeddings from which two texts say the same, 0..1; null does not embed.
    backbone: whose embeddings; auto by language.
    common: a run of words in more records than this is boilerplate and tells nothing by itself.
    shown: pairs in the report, of those set aside and of those that stayed.
    """
    if not 0.5 <= near <= 1:
        raise BurnishError(f"split.decontaminate: near is {near}", hint="take a similarity of 0.5 to 1")
    test = _Test.read(path, context, format, fields)
    told = name or shown_name(path, context.base)
    runs = Runs(test.parts, words=words, characters=characters)
    # of all records, those set aside too: the same stage behind this one would measure by the same counts and centre
    for batch in records.batches(COLUMNS):
        runs.count(_parts(batch))
    encoder = _Meaning(test.texts, records, context, backbone) if meaning is not None else None
    search = _Search(test, runs, overlap, near, templates, meaning, common, encoder)
    found = _Found(shown)
    marked = Records.stream(_marked(records, search, found, told))
    marked.facts = found.facts = {**records.facts}
    found.about = {
        "test_set": told, "test_records": len(test.texts), "looked_at": test.looked_at, "boilerplate": len(test.instructions),
        "too_short_for_runs": int((runs.sizes == 0).sum()),
        "thresholds": {"overlap": overlap, "words": words, "characters": characters, "near": near,
                       "templates": templates, "meaning": meaning, "common": common},
    }  # fmt: skip
    return marked


@dataclass(frozen=True)
class _Test:
    """A test set in memory. texts: the whole input of each record (n,); parts: distinct fields of any record, owner: the
    first record that each belongs to."""

    texts: list[str]
    ids: list[str]
    parts: list[str]
    owner: list[int]
    looked_at: dict[str, int]
    instructions: frozenset[str]  # parts that very many test records have

    @classmethod
    def read(cls, path: Path, context: Context, format: Any, fields: dict[str, str] | None) -> _Test:
        if fields is not None:
            items = files.read(path, fields=fields, base=context.base, targets=targets_of(context.task))
        else:
            [part] = FORMATS.open(format)
            items = read_records(path, part, base=context.base)
        tables, broken = [SCHEMA.empty_table()], 0
        for item in items:
            if isinstance(item, Reject):
                broken += 1
            else:
                tables.append(item)
        table = pa.concat_tables(tables).combine_chunks()
        if not len(table):
            raise DataError(
                f"no test record in it; {broken:,} rows cannot be read",
                where=str(path),
                hint="`fields` says where the text is",
            )
        if broken:
            raise DataError(
                f"{broken:,} rows of the test set cannot be read, and nothing could be said about them",
                where=str(path),
                hint="`burnish import` lists them with reasons; mend or remove them",
            )
        looked_at: Counter[str] = Counter()
        owner: dict[str, int] = {}
        often: Counter[str] = Counter()
        for row, own in enumerate(_fields(table)):
            looked_at.update(field for field, _ in own)
            for part in {part for _, part in own}:
                owner.setdefault(part, row)
                often[part] += 1
        # what stands in very many test records is an instruction, and no record is like the test for having it too
        most = max(10, len(table) // 10)
        shared = frozenset(part for part, times in often.items() if times > most)
        parts = [part for part in owner if part not in shared]
        return cls(
            _inputs(table, shared), table["id"].to_pylist(), parts, [owner[part] for part in parts],
            dict(looked_at), shared,
        )  # fmt: skip


def _fields(table: pa.Table) -> list[list[tuple[str, str]]]:
    """(field, text) of every text of input and target: of each record."""
    rows = table.select(COLUMNS).to_pylist()
    made = []
    for row in rows:
        own = [(name, row[name]) for name in ("text", "text_b", "output") if row[name]]
        own += [("messages", turn["content"]) for turn in row["messages"] or () if turn["role"] != "system"]
        if row["answer"] and row["answer"]["text"]:
            own.append(("answer", row["answer"]["text"]))
        made.append([(name, text) for name, text in own if text])
    return made


def _inputs(table: pa.Table, instructions: frozenset[str]) -> list[str]:
    """The whole input of each record (n,), without the instructions of the test set."""
    if not instructions:
        return said(table, system=False)
    return [
        "\n".join(text for name, text in own if name in ("text", "text_b", "messages") and text not in instructions)
        for own in _fields(table)
    ]


def _parts(table: pa.Table) -> list[list[str]]:
    return [[text for _, text in own] for own in _fields(table)]


@dataclass
class _Match:
    """The test record that a record is most like: how, and how much."""

    way: str
    score: float
    test: int
    leaks: bool


class _Search:
    """All ways of looking, on a batch of records."""

    def __init__(
        self, test: _Test, runs: Runs, overlap: float, near: float, templates: bool, meaning: float | None, common: int,
        encoder: _Meaning | None,
    ) -> None:  # fmt: skip
        self.test, self.runs, self.common, self.encoder = test, runs, common, encoder
        self.thresholds = {"exact": 1.0, "template": 1.0, "runs": overlap, "near": near, "meaning": meaning or 1.0}
        self.forms = {form: at for at, form in reversed(list(enumerate(normalised(test.texts))))}
        masked = [template(form) for form in self.forms] if templates else []
        self.masked = {form: at for form, at in zip(masked, self.forms.values(), strict=False) if form}
        # of parts only what is long enough to be somebody's own: a "yes" is in every test set
        self.full = runs.sizes >= min(runs.words, runs.characters)
        self.long = [at for at, size in enumerate(runs.sizes) if size]
        self.near_texts = list(dict.fromkeys([*test.texts, *(test.parts[at] for at in self.long)]))
        where = {test.parts[at]: test.owner[at] for at in self.long} | {
            text: at for at, text in reversed(list(enumerate(test.texts)))
        }
        self.near_owner = [where[text] for text in self.near_texts]

    def __call__(self, batch: pa.Table) -> list[_Match | None]:
        """The surest match of every record; a match that is no leak is the nearest that was found."""
        parts = _parts(batch)
        texts = _inputs(batch, self.test.instructions)
        best: list[_Match | None] = [None] * len(texts)

        def offer(row: int, way: str, score: float, test: int) -> None:
            leak = score >= self.thresholds[way]
            held = best[row]
            # ways are asked the surest first; of those that are no leak the one that is nearest to being one
            near = score / self.thresholds[way]
            if held is None or (not held.leaks and (leak or near > held.score / self.thresholds[held.way])):
                best[row] = _Match(way, float(score), test, leak)

        for row, form in enumerate(normalised(texts)):
            if form in self.forms and form:
                offer(row, "exact", 1.0, self.forms[form])
            elif self.masked and (own := template(form)) in self.masked and own:
                offer(row, "template", 1.0, self.masked[own])
        shared = self.runs.find(parts, common=self.common)
        full = np.where(self.full[shared.part], 0.9, 2.0)  # all of a long field is a copy, boilerplate or not
        whole = np.where(shared.of_part >= full, shared.of_part, 0.0)
        score = np.maximum(np.maximum(shared.rare, whole), np.where(shared.rare > 0, shared.of_text, 0.0))
        for row, part, value in zip(shared.text.tolist(), shared.part.tolist(), score.tolist(), strict=True):
            offer(row, "runs", min(value, 1.0), self.test.owner[part])
        for row, other, value in self.near(texts, parts, lower=0.15):
            offer(row, "near", value, other)
        if self.encoder:
            for row, (value, other) in enumerate(self.encoder.nearest(texts)):
                offer(row, "meaning", value, other)
        return best

    def near(self, texts: list[str], parts: list[list[str]], *, lower: float = 0.0, swapped: bool = False) -> Iterator[tuple[int, int, float]]:  # fmt: skip
        """(record, test record, similarity) of whole inputs and of parts. swapped: the other way round, as a check."""
        flat = [(row, text) for row, text in enumerate(texts)]
        flat += [(row, part) for row, own in enumerate(parts) if len(own) > 1 for part in own if len(part) >= 24]
        mine, threshold = [text for _, text in flat], max(self.thresholds["near"] - lower, 0.45)
        if not mine:
            return
        found = (
            leaks(mine, self.near_texts, threshold=threshold)
            if swapped
            else leaks(self.near_texts, mine, threshold=threshold)
        )
        for (one, two), similarity in zip(found.pairs.tolist(), found.similarity.tolist(), strict=True):
            other, at = (two, one) if swapped else (one, two)
            yield flat[at][0], self.near_owner[other], similarity


class _Meaning:
    """Centred embeddings of the test set; the centre is that of the test set and of the first records together."""

    def __init__(self, texts: list[str], records: Records, context: Context, backbone: Backbone) -> None:
        from burnish.nn.backbones import resolve

        folder = resolve(backbone, languages=context.task.languages, progress=context.progress)
        self.folder, self.context = folder, context
        first = next(iter(records.batches(["text", "text_b", "messages"])), None)
        vectors = self._embed(texts)
        around = [vectors] + ([self._embed(said(first, system=False))] if first is not None and len(first) else [])
        self.mean = np.concatenate(around).mean(axis=0, keepdims=True)
        self.vectors = self._centred(vectors)

    def _embed(self, texts: list[str]) -> Array:
        from burnish.nn.embeddings import embed

        return embed(texts, self.folder, cache=self.context.cache, progress=self.context.progress)

    def _centred(self, vectors: Array) -> Array:
        moved = vectors - self.mean
        scaled: Array = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
        return scaled

    def nearest(self, texts: list[str]) -> Iterator[tuple[float, int]]:
        """(cosine, test record) of the nearest, of each text."""
        mine = self._centred(self._embed(texts))
        for start in range(0, len(mine), 1024):
            cosines = mine[start : start + 1024] @ self.vectors.T
            at = cosines.argmax(axis=1)
            yield from zip(cosines[np.arange(len(at)), at].tolist(), at.tolist(), strict=True)


@dataclass
class _Found:
    """What the report shows, gathered while records are walked."""

    shown: int
    facts: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    ways: Counter[str] = field(default_factory=Counter)
    tests: set[int] = field(default_factory=set)
    looked: int = 0
    offered: int = 0
    pairs: dict[str, list[tuple[float, int, dict[str, Any]]]] = field(default_factory=dict)

    def add(self, way: str, score: float, pair: dict[str, Any]) -> None:
        """Keep the clearest pairs of every way."""
        held = self.pairs.setdefault(way, [])
        self.offered += 1
        entry = (score, -self.offered, pair)  # of equal ones the first
        heapq.heappush(held, entry) if len(held) < self.shown else heapq.heappushpop(held, entry)

    def close(self) -> None:
        best = {
            way: [pair for *_, pair in sorted(held, key=lambda one: (-one[0], -one[1]))]
            for way, held in self.pairs.items()
        }
        stayed = best.pop("stayed", [])
        self.facts.setdefault("decontaminated", [])
        self.facts["decontaminated"] = [*self.facts["decontaminated"], {
            **self.about, "records_looked_at": self.looked, "set_aside": self.ways.total(), "by": dict(self.ways),
            "test_records_met": len(self.tests), "leaks_after": 0, "pairs": best, "nearest_that_stayed": stayed,
        }]  # fmt: skip


def _marked(records: Records, search: _Search, found: _Found, told: str) -> Iterator[pa.Table]:
    for batch in records.batches():
        keep = np.array(batch["keep"].to_pylist(), dtype=bool)
        rows = np.flatnonzero(keep)
        if len(rows):
            kept = batch.take(pa.array(rows))
            matches = _checked(search, kept)
            batch = _set_aside(batch, rows, matches, kept, search.test, found, told)
        found.looked += len(rows)
        yield batch
    found.close()


def _checked(search: _Search, kept: pa.Table) -> list[_Match | None]:
    """Matches, and once more what is left by a way that the search did not go: test texts looked up among the records'."""
    matches = search(kept)
    texts, parts = _inputs(kept, search.test.instructions), _parts(kept)
    for _ in range(4):
        left = [row for row, match in enumerate(matches) if not (match and match.leaks)]
        again = list(search.near([texts[row] for row in left], [parts[row] for row in left], swapped=True))
        again = [one for one in again if one[2] >= search.thresholds["near"]]
        if not again:
            return matches
        for row, other, similarity in again:
            matches[left[row]] = _Match("near", similarity, other, True)
    raise BurnishError(
        "split.decontaminate: leaks are left after four rounds", hint="report this: it is an error of burnish"
    )


def _set_aside(
    batch: pa.Table, rows: Array, matches: list[_Match | None], kept: pa.Table, test: _Test, found: _Found, told: str
) -> pa.Table:
    texts, ids = said(kept, system=False), kept["id"].to_pylist()
    keep, findings, trail = (batch[name].to_pylist() for name in ("keep", "findings", "trail"))
    for row, match, text, own in zip(rows.tolist(), matches, texts, ids, strict=True):
        if match is None:
            continue
        pair = {
            "record": own, "text": text[:EXCERPT], "test": test.ids[match.test], "test_text": test.texts[match.test][:EXCERPT],
            "by": match.way, "score": round(match.score, 4),
        }  # fmt: skip
        found.add(match.way if match.leaks else "stayed", match.score, pair)
        if not match.leaks:
            continue
        found.ways[match.way] += 1
        found.tests.add(match.test)
        reason = f"{match.way} {match.score:.2f} with {test.ids[match.test]} of {told}"
        keep[row] = False
        findings[row] = [
            *(findings[row] or ()),
            {"check": "contamination", "score": match.score, "reason": reason, "action": "drop"},
        ]
        trail[row] = [*(trail[row] or ()), f"split.decontaminate: set aside, {reason}"]
    for name, values in (("keep", keep), ("findings", findings), ("trail", trail)):
        at = batch.schema.get_field_index(name)
        batch = batch.set_column(at, SCHEMA.field(name), pa.array(values, SCHEMA.field(name).type))
    return batch
