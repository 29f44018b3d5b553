"""One suite for every part, ours and yours: `check_stage("quality.duplicates")`, `check_task("classification")`.

A part that passes fits the house: it can be found, read, cached, run twice with the same result, and loses nothing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from burnish.core.artifacts import KINDS, Artifact, Gold, Labeller, Records, Split, Votes
from burnish.core.progress import Silent
from burnish.core.records import Record, SeenCounts, assign_ids, to_table
from burnish.core.stage import Context, Need, Stage, TaskSpec, find
from burnish.core.tasktypes import task_class

TASK = TaskSpec(
    "classification", ("negative", "positive"), {"negative": "a complaint", "positive": "praise"}, ("en", "zh")
)

TEXTS = [
    ("I love this phone, it is excellent.", "positive"),
    ("Broken after two days, I want a refund.", "negative"),
    ("Broken after two days, I want a refund.", "negative"),
    ("这家酒店非常好，推荐大家来住。", "positive"),
    ("质量太差了，第二天就坏了，要求退款。", "negative"),
    ("emoji \U0001f600 and combining e\u0301, family \U0001f468\u200d\U0001f469\u200d\U0001f467", "positive"),
    ("同一件商品 two languages 都有", None),
    ("x" * 5000, None),
    (" \t leading and trailing blanks \n", "negative"),
    ("<script>alert('never run me')</script> & co", "negative"),
]
MANY = 60
GOLD = [
    ("Would buy this lamp again, lovely light.", "positive"),
    ("The zip tore on the first morning.", "negative"),
    ("送货很快，包装也仔细，谢谢老板。", "positive"),
    ("屏幕有一道划痕，客服也不回复。", "negative"),
]


def sample_records(*, labelled: bool = True, count: int = MANY) -> pa.Table:
    """Records in both languages, with repeats, odd characters, hostile markup, and some without a label."""
    made = []
    for at in range(count):
        text, label = TEXTS[at % len(TEXTS)]
        text = text if at < len(TEXTS) else f"{text} {at}"
        probs = [float(label == name) for name in TASK.labels] if label and labelled else None
        made.append(
            Record(
                text=text,
                label=label if labelled else None,
                probs=probs,
                label_from="given" if label and labelled else None,
                source="sample",
                file="sample.jsonl",
                line=at + 1,
                group=f"g{at % 7}",
                language="zh" if any("\u4e00" <= c <= "\u9fff" for c in text) else "en",
                meta={"stars": at % 5},
            )
        )
    return assign_ids(to_table(made), SeenCounts())


def sample_context(folder: Path, task: TaskSpec = TASK) -> Context:
    """A context whose folders are below `folder`."""
    for name in ("scratch", "cache"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Context(task, 0, folder, folder / "scratch", folder / "cache", Silent())


def _sample(kind: str, table: pa.Table) -> Artifact:
    if kind == "Records":
        return Records.from_table(table)
    if kind == "Gold":
        gold = Gold.from_table(assign_ids(to_table([Record(text, label=label) for text, label in GOLD]), SeenCounts()))
        gold.facts = {"train": False}
        return gold
    if kind == "Votes":
        labels = table["label"].to_pylist()
        rows = [(row, "sample", label, 1.0) for row, label in enumerate(labels) if label]
        return Votes.from_rows([Labeller("sample", "sample", tuple(TASK.labels))], rows)
    if kind == "Split":
        labelled = table.filter(pa.compute.is_valid(table["label"]))
        train, validation, test = (Records.from_table(labelled.slice(*part)) for part in ((0, 30), (30, 8), (38, 8)))
        return Split(train, validation, test)
    raise LookupError(kind)


def _given(need: Need, table: pa.Table, context: Context, given: Mapping[str, Artifact]) -> Any:
    if need.kind == "Context":
        return context
    made = given[need.kind] if need.kind in given else _sample(need.kind, table)
    return [made] if need.every else made


def _run(
    stage: Stage, table: pa.Table, settings: Mapping[str, Any], given: Mapping[str, Artifact]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files a stage leaves, by name, and its counts."""
    with tempfile.TemporaryDirectory() as folder:
        context = sample_context(Path(folder))
        made = stage.run(*(_given(need, table, context, given) for need in stage.needs), **stage.filled(settings))
        assert isinstance(made, KINDS[stage.makes or ""]), (
            f"{stage.address}: it says it makes {stage.makes} and made {type(made).__name__}"
        )
        out = Path(folder) / "out"
        out.mkdir()
        counts = made.save(out)
        KINDS[stage.makes or ""].open(out)
        return {
            path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()
        }, counts


TIMED = ("seconds", "cpu_seconds", "tokens_per_s", "peak_mb")  # what a history says of this machine


def _timeless(content: bytes) -> Any:
    """A file as bytes; JSON without what was measured of time."""
    try:
        return _without(json.loads(content))
    except ValueError:
        return content


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without(one) for name, one in value.items() if name not in TIMED}
    return [_without(one) for one in value] if isinstance(value, list) else value


def stage_checks(
    address: str, settings: Mapping[str, Any] | None = None, given: Mapping[str, Artifact] | None = None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """(name, check) pairs; each check raises AssertionError with what to do.

    settings: values for what has no default. given: artefacts by kind for what has no sample (a Model). A stage that
    still cannot be run here is checked on its signature alone.
    """
    stage = find(*address.split(".", 1))
    settings, given = settings or {}, given or {}

    def has_a_summary_that_fits_a_line() -> None:
        assert 10 <= len(stage.summary) <= 110 and stage.summary.endswith("."), (
            f"{address}: the first docstring line is its help text; one line, ends with a period: {stage.summary!r}"
        )

    def every_setting_is_documented() -> None:
        bare = [name for name, setting in stage.settings.items() if not setting.about]
        assert not bare, f"{address}: document {bare} in the docstring as `name: meaning, unit, range`"

    def every_setting_has_a_schema() -> None:
        for name, setting in stage.settings.items():
            json.dumps(setting.schema())
            if not setting.required:
                assert not setting.check(setting.default)[1], (
                    f"{address}: the default of {name} does not fit its own type"
                )

    def takes_and_makes_known_kinds() -> None:
        kinds = {need.kind for need in stage.needs} | ({stage.makes} if stage.makes else set())
        assert kinds <= {*KINDS, "Context"}, f"{address}: kinds are {sorted(KINDS)}, got {sorted(kinds)}"

    checks = [
        has_a_summary_that_fits_a_line,
        every_setting_is_documented,
        every_setting_has_a_schema,
        takes_and_makes_known_kinds,
    ]
    yield from ((check.__name__, check) for check in checks)
    missing = [name for name, setting in stage.settings.items() if setting.required and name not in settings]
    unknown = [
        need.kind
        for need in stage.needs
        if need.kind in ("Model", "Report") and need.kind not in given and not need.optional
    ]
    if missing or unknown or stage.makes is None:
        return

    def says_the_same_twice() -> None:
        table = sample_records()
        first, again = _run(stage, table, settings, given)[0], _run(stage, table, settings, given)[0]
        different = [name for name in first if _timeless(first[name]) != _timeless(again.get(name, b""))]
        assert not different and first.keys() == again.keys(), (
            f"{address}: two runs differ in {different}; take randomness from context.seed"
        )

    walks = stage.makes == "Records" and any(need.kind == "Records" for need in stage.needs)

    def came_through() -> tuple[list[Any], list[Any]]:
        """Texts of the records that went in, and of those that came out; what a maker made of them stands apart."""
        table = sample_records()
        made, _ = _run(stage, table, settings, given)
        # read_table leaves threads behind a buffer, and a process that ends then is aborted
        after = pa.parquet.ParquetFile(pa.BufferReader(made["records.parquet"])).read(columns=["text", "meta"])
        own = [text for text, meta in zip(*after.to_pydict().values(), strict=True) if "made_from" not in (meta or "")]
        return table["text"].to_pylist(), own

    def loses_no_record() -> None:
        if walks:
            before, after = came_through()
            assert len(after) == len(before), (
                f"{address}: {len(before)} records in, {len(after)} out; set keep to false instead of dropping"
            )

    def never_edits_text() -> None:
        if walks:
            before, after = came_through()
            assert after == before, (
                f"{address}: it changed a text or the order; say so in trail and in a stage of its own"
            )

    yield from ((check.__name__, check) for check in (says_the_same_twice, loses_no_record, never_edits_text))


def check_stage(
    address: str, settings: Mapping[str, Any] | None = None, given: Mapping[str, Artifact] | None = None
) -> int:
    """Run the whole suite on a stage (`room.name`); return the number of checks. AssertionError says what to mend."""
    count = 0
    for _, check in stage_checks(address, settings, given):
        check()
        count += 1
    return count


def task_checks(
    name: str, spec: TaskSpec = TASK, table: pa.Table | None = None, *, exports: bool = True
) -> Iterator[tuple[str, Callable[[], None]]]:
    """(name, check) pairs for a task type. table: labelled records of that task; the sample records by default."""
    import numpy as np

    cls = task_class(name)
    task = cls(spec)
    table = sample_records() if table is None else table
    labelled = table.filter(pa.array(np.asarray(task.labelled(table))))

    def names_itself() -> None:
        assert cls.name == name, f"{name}: Task.name is {cls.name!r}"

    def accepts_a_good_section_and_refuses_an_unknown_setting() -> None:
        assert cls.problems(spec) == [], f"{name}: refuses {spec}"
        strange = TaskSpec(name, spec.labels, spec.descriptions, spec.languages, {"no_such_setting": 1})
        assert cls.problems(strange), f"{name}: accepts a setting that it does not have"
        assert cls.least_labels == 0 or cls.problems(TaskSpec(name)), f"{name}: accepts a section without labels"

    def judges_records() -> None:
        assert len(labelled), f"{name}: give check_task records with targets"
        for row in Records.from_table(table):
            assert task.problem(row) is None, f"{name}: refuses a good record: {task.problem(row)}"
        assert task.problem(Record(text="")), f"{name}: accepts an empty record"

    def reads_what_a_caller_sends() -> None:
        for one in task.inputs(labelled):
            assert task.input(one), f"{name}: input() refuses what inputs() made"
        for bad in (3, None, {}, {task.reads[0]: " "}):
            try:
                task.input(bad)
            except ValueError:
                continue
            raise AssertionError(f"{name}: input() accepts {bad!r}")

    def a_perfect_answer_has_a_perfect_score() -> None:
        wanted = [task.expected(row) for row in labelled.to_pylist()]
        assert all(one is not None for one in wanted), f"{name}: expected() gives an answer for every labelled record"
        assert json.dumps(wanted), f"{name}: answers are JSON"
        answers = task.right(labelled)
        tally = task.tally(labelled, answers)
        assert tally.shape[0] == len(labelled), f"{name}: tally has a row a record"
        assert not np.any(task.losses(labelled, answers) > 1e-6), f"{name}: a right answer has no loss"
        assert np.all(task.agreement(answers, answers) == 1), f"{name}: an answer agrees with itself"
        figures = task.figures(tally.sum(0))
        assert task.figure in figures, f"{name}: figures() lacks {task.figure}"
        parts = tally[: len(tally) // 2].sum(0) + tally[len(tally) // 2 :].sum(0)
        again = task.figures(np.stack([parts, parts]))
        assert all(np.shape(value) == (2,) for value in again.values()), f"{name}: figures() takes sums (..., s)"

    def asks_in_both_languages() -> None:
        prompts = [task.prompt("一 a", language=language) for language in ("en", "zh")]
        assert prompts[0] != prompts[1] and all("一 a" in prompt for prompt in prompts), (
            f"{name}: prompts in English and Chinese that hold the text"
        )

    def shows_a_record() -> None:
        assert all("\n" not in task.show(row) for row in Records.from_table(table))
        for row in labelled.to_pylist():
            pieces = task.pieces(row, task.expected(row))
            assert (row["text"] or "") in "".join(piece.text for piece in pieces), f"{name}: pieces() loses text"

    def proposes_labellers_that_exist() -> None:
        for step in cls.default_labellers(spec):
            find("construct", step["use"])

    def exports_to_onnx_and_says_the_same() -> None:
        _check_export(name, spec, labelled)

    checks = (
        names_itself,
        accepts_a_good_section_and_refuses_an_unknown_setting,
        judges_records,
        reads_what_a_caller_sends,
        a_perfect_answer_has_a_perfect_score,
        asks_in_both_languages,
        shows_a_record,
        proposes_labellers_that_exist,
        *((exports_to_onnx_and_says_the_same,) if exports else ()),
    )
    yield from ((check.__name__, check) for check in checks)


def _check_export(name: str, spec: TaskSpec, labelled: pa.Table) -> None:
    """Taught one pass on a network of one layer, exported by the stage and opened again, a task answers as before."""
    from burnish.core.tasktypes import open_task
    from burnish.tasks import predictor

    with tempfile.TemporaryDirectory() as place:
        small = {"hidden": 16, "layers": 1, "vocabulary": 300, "max_new_tokens": 6}
        own = {key: value for key, value in small.items() if key in task_class(name).options}
        spec = replace(spec, options={**own, **spec.options})
        context = sample_context(Path(place), spec)
        backbone = "fresh" if open_task(spec).engine == "generator" else str(_reader(Path(place) / "reader", labelled))
        side = Records.from_table(labelled)
        split = Split(side, side, side)
        settings = {"backbone": backbone, "epochs": 1, "precision": "fp32", "strategy": "full", "max_length": 64}
        model = find("train", "tune").run(split, None, context, **settings)
        model.save(model.folder)
        deployed = find("compress", "onnx").run(model, split, context, max_drop=0.0, min_agreement=1.0)
        assert deployed.info["accepted"], f"{name}: its export says something else: {deployed.info}"
        deployed.save(deployed.folder)
        before, after = (predictor.load(one.folder) for one in (model, deployed))
        inputs = open_task(spec).inputs(labelled)
        assert after.info["format"] == "onnx" and all(
            before.task.agreement(before.answers(inputs), after.answers(inputs)) == 1
        ), f"{name}: what is served answers otherwise than what was trained"


def _reader(folder: Path, table: pa.Table) -> Path:
    """A BERT of one layer and random weights that knows the pieces of these records."""
    from burnish.nn.architectures import config, make
    from burnish.nn.pieces import learn

    texts = [text for column in ("text", "text_b") for text in table[column].to_pylist() if text]
    tokenizer = learn(texts, kind="wordpiece", vocabulary=300, architecture="encoder")
    size = config("encoder", "1x16", vocabulary=len(tokenizer), positions=80, tokenizer=tokenizer)
    return make(folder, size, tokenizer, seed=0)


def check_task(name: str, spec: TaskSpec = TASK, table: pa.Table | None = None, *, exports: bool = True) -> int:
    """Run the whole suite on a task type; return the number of checks. table: labelled records of the task.

    exports: teach a tiny network and export it too, which takes 3 to 10 seconds.
    """
    count = 0
    for _, check in task_checks(name, spec, table, exports=exports):
        check()
        count += 1
    return count
