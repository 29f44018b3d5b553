"""The evaluation as a page: the verdict first, then its grounds, then the errors a person should read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from burnish.core import page as p
from burnish.core.chinese import named, say, sentence, spoken
from burnish.core.figures import between, word
from burnish.evaluate.page_details import columns_of, details, lead_of, rows_of
from burnish.evaluate.page_errors import worst_errors
from burnish.evaluate.page_tables import also, aside, baseline_name, baselines, leaks_table, models_table, slices_table

POORLY_CALIBRATED = 0.1  # expected calibration error from which confidences mislead
MANY_LEAKS = 0.05  # share of the test set
MANY_EMPTY = 0.05  # share of the answers of a model that writes
MANY_CLASSES = 20  # past them a reader looks for the ones that matter
WIDE = 10.0  # points, half of the interval of the chief figure: the test set is too small to say much


def verdict(numbers: Mapping[str, Any], task: Any) -> dict[str, Any]:
    """tone (good, look, bad), verdict (one sentence) and grounds (what it rests on), in the language being spoken."""
    chief = numbers["figure"]
    low, high = numbers["intervals"][chief]
    parts = [say(task.headline(numbers[chief], low, high, numbers["n"]))]
    worth, tone = _worth(numbers, task)
    remarks = [*_remarks(numbers, task, task.points * (high - low))]
    return {
        "verdict": sentence(*parts, *([worth] if worth else [])),
        "tone": "look" if tone == "good" and remarks else tone,
        "grounds": [say(f"Judged by {numbers['judged_by']['about']}."), *remarks],
    }


def _worth(numbers: Mapping[str, Any], task: Any) -> tuple[str, p.Tone]:
    """Whether tuning was worth it beside the strongest baseline; "" where there is none."""
    chief = numbers["figure"]
    strong = max(numbers["baselines"], key=lambda one: one[chief], default=None)
    if strong is None:
        return "", "good"
    gain, other = strong["gain"][chief], baseline_name(strong["name"])
    value, least, most = (task.points * one for one in (gain["value"], *gain["interval"]))
    if gain["interval"][0] > 0:
        return say(f"tuning was worth it: {value:+.1f} points ({least:+.1f} to {most:+.1f}) over “{other}”"), "good"
    if gain["interval"][1] < 0:
        return say(
            f"tuning was not worth it: {value:+.1f} points ({least:+.1f} to {most:+.1f}) against “{other}”"
        ), "bad"
    return say(f"not clearly better than “{other}”: {value:+.1f} points ({least:+.1f} to {most:+.1f})"), "look"


def _remarks(numbers: Mapping[str, Any], task: Any, width: float) -> Iterable[str]:
    """What takes from the figure. width: of its interval, in points."""
    if not numbers["judged_by"]["checked"]:
        yield say("Nobody checked these labels: they were constructed by this run.")
    leaks, chief = numbers["leaks"], numbers["figure"]
    if leaks["share"] > MANY_LEAKS:
        count, rate = leaks["count"], f"{leaks['share']:.1%}"
        if "without" in leaks:
            rest = _amount(leaks["without"][chief], task)
            yield say(
                f"{count:,} test texts ({rate}) are nearly in the training side; without them {word(chief)} is {rest}."
            )
        else:
            yield say(f"{count:,} test texts ({rate}) are nearly in the training side.")
    if numbers.get("empty", 0) > MANY_EMPTY * numbers["n"]:
        yield say(f"{numbers['empty']:,} of {numbers['n']:,} answers are empty.")
    if width / 2 > WIDE:
        yield say(f"The test set is small: the interval is {width:.0f} points wide.")
    if numbers.get("ece", 0) > POORLY_CALIBRATED:
        yield say(f"Its confidence misleads: calibration error {numbers['ece']:.3f}.")


def page(numbers: Mapping[str, Any], confidences: Sequence[float], *, subtitle: str = "") -> str:
    """report.html, in the language being spoken. confidences: top probability of each test record (n,), for the histogram;
    empty where there are none."""
    told = numbers["said"][spoken()]
    facts = [(say("records"), numbers["n"]), (say("model"), numbers["model"])]
    size = numbers["models"][-1]["parameters"]
    facts += [(say("parameters"), f"{size:,}")] if size else []
    return p.page(
        say("Evaluation"),
        *(section for section in _sections(numbers, confidences) if section.body),
        verdict=p.verdict(numbers["tone"], told["verdict"], *told["grounds"]),
        subtitle=subtitle,
        facts=[*facts, *([(say("classes"), len(numbers["labels"]))] if numbers["labels"] else [])],
    )


def _sections(numbers: Mapping[str, Any], confidences: Sequence[float]) -> list[p.Section]:
    bent = say("When it says 80%, is it right 80 times in 100?") if numbers.get("calibration") else ""
    return [
        p.section(say("Scores"), tiles(numbers), *notes(numbers), aside(numbers), also(numbers)),
        p.section(say("Was tuning worth it"), baselines(numbers), lead=say("The same records, answered by simpler means.")),
        p.section(say("Classes"), classes(numbers), _printed(numbers)),
        p.section(say("Confusion"), *_confusion(numbers)),
        p.section(say("Calibration"), calibration(numbers, confidences), lead=bent),
        *_several(numbers),
        p.section(say("Details"), *details(numbers, numbers["details"], numbers.get("about", {}))),
        p.section(say("Worst errors"), *worst_errors(numbers), lead=say("By loss: where the answer is furthest from what was asked.")),
        p.section(say("Leaks"), leaks_table(numbers), lead=say("Test texts that stand, or nearly stand, in the training side.")),
        p.section(say("Slices"), slices_table(numbers), lead=say("Where it is better and where it is worse.")),
        p.section(say("Models"), models_table(numbers) if len(numbers["models"]) > 1 else "", lead=say("Every model this run made, on the same records.")),
    ]  # fmt: skip


def tiles(numbers: Mapping[str, Any]) -> p.Html:
    """The figures nobody should miss."""
    leaks = numbers["leaks"]
    around = {name: tuple(pair) for name, pair in numbers["intervals"].items()}
    names = list(dict.fromkeys((numbers["figure"], *numbers["figures"])))[:4]
    names = [name for name in names if name != "micro_f1" or "accuracy" not in names]
    whole = 100.0 if numbers.get("points") == 1.0 else 1.0  # BLEU and its kind are written in 0..100
    drawn = [p.Tile(word(name), numbers[name], around.get(name), whole=whole) for name in names]
    if "ece" in numbers:
        tone: p.Tone = "look" if numbers["ece"] > POORLY_CALIBRATED else "plain"
        drawn.append(p.Tile(word("ece"), numbers["ece"], around.get("ece"), tone=tone))
    if "accuracy" in numbers:
        wrong = numbers["n"] - round(numbers["accuracy"] * numbers["n"])
        drawn.append(p.Tile(say("errors"), wrong, note=say(f"of {numbers['n']:,} records")))
    drawn.append(
        p.Tile(
            say("also in training"), leaks["count"], note=say(f"{leaks['share']:.1%} of the test records"),
            tone="look" if leaks["share"] > MANY_LEAKS else "plain",
        )
    )  # fmt: skip
    return p.tiles(drawn)


def _amount(value: float, task: Any) -> str:
    """A chief figure of 0..1 in percent, another as it is."""
    return f"{value:.1%}" if task.points == 100 else f"{value:.1f}"


def _printed(numbers: Mapping[str, Any]) -> p.Part:
    report = numbers.get("classification_report")
    return p.fold(say("Classification report"), p.code(report)) if report else ""


def confused(numbers: Mapping[str, Any]) -> p.Html:
    """The confusion matrix, where the task has one."""
    shade = say("Shade: share of the true class")
    return (
        p.confusion(_confusable(numbers), numbers["confusion"], caption=shade)
        if "confusion" in numbers
        else p.together()
    )


def _confusable(numbers: Mapping[str, Any]) -> list[str]:
    """The labels of the matrix; past those of the task, burnish's own name for none."""
    labels = numbers.get("confusion_labels", numbers["labels"])
    known = set(numbers["labels"])
    return [one if one in known else named("part", one) for one in labels]


def _confusion(numbers: Mapping[str, Any]) -> list[p.Part]:
    if "confusion" not in numbers:
        rows = numbers.get("confused")
        said = numbers.get("about", {}).get("confused", "")
        named_rows = [(None, {key: named("mark", one) if isinstance(one, str) else one for key, one in row.items()}) for row in rows or ()]  # fmt: skip
        return [lead_of(said), rows_of(columns_of(rows), named_rows)] if rows else []
    labels = _confusable(numbers)
    if len(labels) > p.MAX_CLASSES:  # then the pairs stand in the place of the matrix
        return [confused(numbers)]
    what = say("records" if "confusion_labels" not in numbers else "spans")
    pairs = p.confused_pairs(labels, numbers["confusion"], top=8, what=what)
    return [confused(numbers), p.heading(say("Most confused")), pairs]


def _several(numbers: Mapping[str, Any]) -> Iterable[p.Section]:
    """Of a task of several tasks, a section for each, drawn as its own page would draw it."""
    for name, told in numbers.get("tasks", {}).items():
        own = {"labels": list(told.get("per_class", ())), **told}
        rest = [key for key in told if key not in ALREADY]
        yield p.section(
            say(f"Task: {name}"),
            p.facts([(say("records with its target"), told["n"]), *_plain_figures(told)]),
            classes(own),
            _printed(own),
            *_confusion(own),
            calibration(own, ()) if told.get("calibration") else "",
            *details(told, rest, numbers.get("about", {})),
        )


# of a task among several: what has a place of its own in its section
ALREADY = ("n", "accuracy", "macro_f1", "micro_f1", "ece", "per_class", "confusion", "confusion_labels", "calibration", "confused", "classification_report")  # fmt: skip


def _plain_figures(told: Mapping[str, Any]) -> list[tuple[str, object]]:
    return [(word(name), told[name]) for name in ("accuracy", "macro_f1", "ece") if name in told]


def notes(numbers: Mapping[str, Any]) -> list[p.Html]:
    """What a reader must know before believing the figures."""
    tone: p.Tone = "plain" if numbers["judged_by"]["checked"] else "look"
    return [p.note(say(one), tone) for one in numbers["judged_by"]["notes"]]


def classes(numbers: Mapping[str, Any]) -> p.Html:
    """F1 of each class, with its interval and support; of many classes those that occur most, the others behind a line."""
    every = list(numbers.get("per_class", {}).items())
    rows = [(label, row) for label, row in every if row["support"] or len(every) <= MANY_CLASSES]
    if not rows:
        return p.together()
    most = rows
    if len(rows) > MANY_CLASSES:
        most = sorted(rows, key=lambda one: -one[1]["support"])[:MANY_CLASSES]
    names = {label for label, _ in most}
    rest = [one for one in rows if one[0] not in names]
    absent = len(every) - len(rows)
    return p.together(
        _class_bars(numbers, most),
        p.fold(say(f"{len(rest)} rarer classes"), _class_bars(numbers, rest)) if rest else "",
        say(f"{absent} classes do not occur in the test records.") if absent else "",
    )


def _class_bars(numbers: Mapping[str, Any], rows: Sequence[tuple[str, Mapping[str, Any]]]) -> p.Html:
    sure = any("f1_interval" in row for _, row in rows)
    return p.bars(
        [(label, row["f1"]) for label, row in rows],
        maximum=1,
        intervals=[tuple(row["f1_interval"]) if "f1_interval" in row else None for _, row in rows],
        notes=[f"n = {row['support']:,}" for _, row in rows],
        marks={word("macro_f1"): numbers["macro_f1"]} if "macro_f1" in numbers else {},
        caption=say(f"F1 by class{', 95% intervals' if sure else ''}; n: how often it is the right one"),
    )


def calibration(numbers: Mapping[str, Any], confidences: Sequence[float]) -> p.Html:
    """The reliability diagram beside the histogram of confidences, and the table under them."""
    if not numbers.get("calibration"):
        return p.together()
    filled = [row for row in numbers["calibration"] if row["count"]]
    least = max(5, numbers["n"] // 100)
    diagram = p.lines(
        {say("model"): [(row["confidence"], row["accuracy"]) for row in filled if row["count"] >= least]},
        x=say("confidence"), y=say("share that is right"), x_range=(0, 1), y_range=(0, 1), diagonal=True, dots=True, square=True,
        caption=say(
            "On the dashed line, confidence is what it says. Below it, the model is too sure. "
            f"Bins of fewer than {least} records are in the table alone."
        ),
    )  # fmt: skip
    drawn = p.histogram(confidences, low=0, high=1, bins=20, x=say("confidence"), caption=say("How sure the model is")) if len(confidences) else ""  # fmt: skip
    rows = [
        (between(f"{r['lower']:.2f}", f"{r['upper']:.2f}"), r["count"], r["confidence"], r["accuracy"]) for r in filled
    ]
    table = p.table([*map(say, ("confidence", "records", "mean confidence", "share right"))], rows)
    return p.together(p.side_by_side(diagram, drawn), p.fold(say("Calibration table"), table))
