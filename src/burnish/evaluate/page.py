"""The evaluation as a page: the verdict first, then its grounds, then the errors a person should read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from burnish.core import page as p
from burnish.core.figures import title, word

Pieces = Sequence[Sequence[Any]]  # [text, mark or None] each

POORLY_CALIBRATED = 0.1  # expected calibration error from which confidences mislead
MANY_LEAKS = 0.05  # share of the test set
MANY_CLASSES = 20  # past them a reader looks for the ones that matter
BRIEF = 60  # characters of an answer that stands in a line with its facts
LONG_SIDE = 600  # characters of one text of a pair, past which they stand one below the other
WIDE = 10.0  # points, half of the interval of the chief figure: the test set is too small to say much


def verdict(numbers: Mapping[str, Any], task: Any) -> dict[str, Any]:
    """tone (good, look, bad), verdict (one sentence) and grounds (what it rests on), for people and for JSON."""
    chief = numbers["figure"]
    low, high = numbers["intervals"][chief]
    right = task.headline(numbers[chief], low, high, numbers["n"])
    grounds, tone = [f"Judged by {numbers['judged_by']['about']}."], "good"
    strong = max(numbers["baselines"], key=lambda one: one[chief], default=None)
    worth = ""
    if strong:
        gain = strong["gain"][chief]
        value, least, most = (task.points * one for one in (gain["value"], *gain["interval"]))
        points = f"{value:+.1f} points ({least:+.1f} to {most:+.1f})"
        if gain["interval"][0] > 0:
            worth = f"; tuning was worth it: {points} over “{strong['name']}”"
        elif gain["interval"][1] < 0:
            worth, tone = f"; tuning was not worth it: {points} against “{strong['name']}”", "bad"
        else:
            worth, tone = f"; not clearly better than “{strong['name']}”: {points}", "look"
    if not numbers["judged_by"]["checked"]:
        tone = "look" if tone == "good" else tone
        grounds.append("Nobody checked these labels: they were constructed by this run.")
    leaks = numbers["leaks"]
    if leaks["share"] > MANY_LEAKS:
        tone = "look" if tone == "good" else tone
        without = (
            f"; without them {word(chief)} is {_amount(leaks['without'][chief], task)}" if "without" in leaks else ""
        )
        grounds.append(
            f"{leaks['count']:,} test texts ({leaks['share']:.1%}) are nearly in the training side{without}."
        )
    if task.points * (high - low) / 2 > WIDE:
        tone = "look" if tone == "good" else tone
        grounds.append(f"The test set is small: the interval is {task.points * (high - low):.0f} points wide.")
    if numbers.get("ece", 0) > POORLY_CALIBRATED:
        tone = "look" if tone == "good" else tone
        grounds.append(f"Its confidence misleads: calibration error {numbers['ece']:.3f}.")
    return {"verdict": f"{right}{worth}.", "tone": tone, "grounds": grounds}


def page(numbers: Mapping[str, Any], confidences: Sequence[float]) -> str:
    """report.html. confidences: top probability of each test record (n,), for the histogram; empty where there are none."""
    classes = f"{len(numbers['labels'])} classes, " if numbers["labels"] else ""
    return p.page(
        "Evaluation",
        *(section for section in _sections(numbers, confidences) if section.body),
        verdict=p.verdict(numbers["tone"], numbers["verdict"], *numbers["grounds"]),
        subtitle=f"{numbers['n']:,} records, {classes}model: {numbers['model']}",
    )


def _sections(numbers: Mapping[str, Any], confidences: Sequence[float]) -> list[p.Section]:
    return [
        p.section("Scores", tiles(numbers), *notes(numbers), _aside(numbers), _also(numbers)),
        p.section("Was tuning worth it", _baselines(numbers), lead="The same records, answered by simpler means."),
        p.section("Classes", classes(numbers), _printed(numbers)),
        p.section("Confusion", *_confusion(numbers)),
        p.section("Calibration", calibration(numbers, confidences), lead="When it says 80%, is it right 80 times in 100?" if numbers.get("calibration") else ""),
        *_several(numbers),
        p.section("Details", *_details(numbers, numbers["details"], numbers.get("about", {}))),
        p.section("Worst errors", *_errors(numbers), lead="By loss: where the answer is furthest from what was asked."),
        p.section("Leaks", _leaks(numbers), lead="Test texts that stand, or nearly stand, in the training side."),
        p.section("Slices", _slices(numbers), lead="Where it is better and where it is worse."),
        p.section("Models", _models(numbers), lead="Every model this run made, on the same records."),
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
        drawn.append(p.Tile("calibration error", numbers["ece"], around.get("ece"), tone=tone))
    if "accuracy" in numbers:
        wrong = numbers["n"] - round(numbers["accuracy"] * numbers["n"])
        drawn.append(p.Tile("errors", wrong, note=f"of {numbers['n']:,} records"))
    drawn.append(
        p.Tile(
            "also in training", leaks["count"], note=f"{leaks['share']:.1%} of the test records",
            tone="look" if leaks["share"] > MANY_LEAKS else "plain",
        )
    )  # fmt: skip
    return p.tiles(drawn)


def _amount(value: float, task: Any) -> str:
    """A chief figure of 0..1 in percent, another as it is."""
    return f"{value:.1%}" if task.points == 100 else f"{value:.1f}"


def _chiefs(numbers: Mapping[str, Any]) -> list[str]:
    """The two figures that tables show."""
    return list(dict.fromkeys((numbers["figure"], *numbers["figures"])))[:2]


def _printed(numbers: Mapping[str, Any]) -> p.Part:
    report = numbers.get("classification_report")
    return p.fold("Classification report", p.code(report)) if report else ""


def confused(numbers: Mapping[str, Any]) -> p.Html:
    """The confusion matrix, where the task has one."""
    labels = numbers.get("confusion_labels", numbers["labels"])
    shade = "Shade: share of the true class"
    return p.confusion(labels, numbers["confusion"], caption=shade) if "confusion" in numbers else p.together()


def _confusion(numbers: Mapping[str, Any]) -> list[p.Part]:
    if "confusion" not in numbers:
        rows = numbers.get("confused")
        said = numbers.get("about", {}).get("confused", "")
        return [_lead(said), _rows(_columns(rows), [(None, row) for row in rows])] if rows else []
    labels = numbers.get("confusion_labels", numbers["labels"])
    return [
        confused(numbers),
        p.heading("Most confused") if numbers.get("confused") and len(labels) <= p.MAX_CLASSES else "",
        p.confused_pairs(labels, numbers["confusion"], top=8) if len(labels) <= p.MAX_CLASSES else "",
    ]


def _several(numbers: Mapping[str, Any]) -> Iterable[p.Section]:
    """Of a task of several tasks, a section for each, drawn as its own page would draw it."""
    for name, told in numbers.get("tasks", {}).items():
        own = {"labels": list(told.get("per_class", ())), **told}
        rest = [key for key in told if key not in ALREADY]
        yield p.section(
            f"Task: {name}",
            p.facts([("records with its target", told["n"]), *_plain_figures(told)]),
            classes(own),
            _printed(own),
            *_confusion(own),
            calibration(own, ()) if told.get("calibration") else "",
            *_details(told, rest, numbers.get("about", {})),
        )


# of a task among several: what has a place of its own in its section
ALREADY = ("n", "accuracy", "macro_f1", "micro_f1", "ece", "per_class", "confusion", "confusion_labels", "calibration", "confused", "classification_report")  # fmt: skip


def _plain_figures(told: Mapping[str, Any]) -> list[tuple[str, object]]:
    return [(word(name), told[name]) for name in ("accuracy", "macro_f1", "ece") if name in told]


def _details(numbers: Mapping[str, Any], names: Sequence[str], about: Mapping[str, str]) -> list[p.Part]:
    """What a task tells besides, each under its name with what it says; single figures together at the top."""
    plain = [name for name in names if isinstance(one := numbers[name], str | int | float) and "\n" not in str(one)]
    single = [(word(name), _told(numbers[name], about.get(name, ""))) for name in plain]
    drawn = [(name, _detail(name, numbers[name])) for name in names if name != "tasks"]
    return [
        p.facts(single) if single else "",
        *(p.together(p.heading(title(name)), _lead(about.get(name, "")), part) for name, part in drawn if part),
    ]


def _told(value: object, about: str) -> object:
    """A figure, and what it is where that is not in its name."""
    said = p.figure(value) if isinstance(value, int | float) else str(value)
    return f"{said} · {about}" if about else value


def _lead(said: str) -> p.Part:
    return p.lead(said) if said else ""


def _detail(name: str, value: Any) -> p.Part:
    """A mapping or list of rows as a table, counts and shares as bars, a long text as it stands."""
    if isinstance(value, Mapping) and value and all(isinstance(row, Mapping) for row in value.values()):
        return _rows(("", *_columns(value.values())), list(value.items()))
    if isinstance(value, Mapping):
        plain = [(word(str(key)), one) for key, one in value.items() if isinstance(one, str | int | float)]
        counts = [(said, float(one)) for said, one in plain if not isinstance(one, str)]
        if len(counts) < len(plain) or len(plain) < 2 or any(one < 0 for _, one in counts):
            return p.facts(plain) if plain else ""
        whole = all(isinstance(one, int) for one in value.values())
        top = 1.0 if max(one for _, one in counts) <= 1 and not whole else None
        return p.bars(counts, maximum=top, show=_count if whole else None)
    if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
        return _rows(_columns(value), [(None, row) for row in value])
    return p.fold("As text", p.code(value)) if isinstance(value, str) and "\n" in value else ""


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _columns(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(name for row in rows for name, one in row.items() if not isinstance(one, list | Mapping))
    )


def _rows(columns: Sequence[str], rows: Sequence[tuple[str | None, Mapping[str, Any]]]) -> p.Html:
    names = [name for name in columns if name]
    cells = [tuple([*([key] if key is not None else []), *(row.get(name) for name in names)]) for key, row in rows]
    return p.table([word(name) for name in columns], cells)


def notes(numbers: Mapping[str, Any]) -> list[p.Html]:
    """What a reader must know before believing the figures."""
    tone: p.Tone = "plain" if numbers["judged_by"]["checked"] else "look"
    return [p.note(one, tone) for one in numbers["judged_by"]["notes"]]


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
        p.fold(f"{len(rest)} rarer classes", _class_bars(numbers, rest)) if rest else "",
        f"{absent} classes do not occur in the test records." if absent else "",
    )


def _class_bars(numbers: Mapping[str, Any], rows: Sequence[tuple[str, Mapping[str, Any]]]) -> p.Html:
    sure = any("f1_interval" in row for _, row in rows)
    return p.bars(
        [(label, row["f1"]) for label, row in rows],
        maximum=1,
        intervals=[tuple(row["f1_interval"]) if "f1_interval" in row else None for _, row in rows],
        notes=[f"n = {row['support']:,}" for _, row in rows],
        marks={"macro F1": numbers["macro_f1"]} if "macro_f1" in numbers else {},
        caption="F1 by class, 95% intervals; n: how often it is the right one"
        if sure
        else "F1 by class; n: how often it is the right one",
    )


def calibration(numbers: Mapping[str, Any], confidences: Sequence[float]) -> p.Html:
    """The reliability diagram beside the histogram of confidences, and the table under them."""
    if not numbers.get("calibration"):
        return p.together()
    filled = [row for row in numbers["calibration"] if row["count"]]
    least = max(5, numbers["n"] // 100)
    diagram = p.lines(
        {"model": [(row["confidence"], row["accuracy"]) for row in filled if row["count"] >= least]},
        x="confidence", y="share that is right", x_range=(0, 1), y_range=(0, 1), diagonal=True, dots=True, square=True,
        caption="On the dashed line, confidence is what it says. Below it, the model is too sure. "
        f"Bins of fewer than {least} records are in the table alone.",
    )  # fmt: skip
    drawn = p.histogram(confidences, low=0, high=1, bins=20, x="confidence", caption="How sure the model is") if len(confidences) else ""  # fmt: skip
    rows = [(f"{r['lower']:.2f} to {r['upper']:.2f}", r["count"], r["confidence"], r["accuracy"]) for r in filled]
    table = p.table(["confidence", "records", "mean confidence", "share right"], rows)
    return p.together(p.side_by_side(diagram, drawn), p.fold("Calibration table", table))


def error_list(errors: Mapping[str, Any], *, shown: int, most: int | None = None) -> p.Html:
    """Errors with what they were taken for, and their neighbours behind a line that opens."""
    hues = p.hues_of(sorted(_marks(errors["items"])))
    items = [
        p.Example(
            _shown(one, hues),
            [
                *_said(one),
                *([("confidence", one["score"])] if one["score"] is not None else []),
                *([("source", one["source"])] if one.get("source") else []),
                ("id", one["id"]),
            ],
            p.together(_neighbours(one, hues), _pulled(one)),
            tone="look" if one["doubtful"] else "plain",
        )
        for one in errors["items"][:most]
    ]
    return p.examples(items, shown=shown, what="errors")


def _marks(items: Iterable[Mapping[str, Any]]) -> set[str]:
    """The names of all marks among the errors and their neighbours."""
    readings = [one[name] for one in items for name in ("input", "expected", "answered")]
    readings += [near["pieces"] for one in items for near in one["neighbours"]]
    return {mark for reading in readings for _, mark in reading if mark}


def _brief(one: Mapping[str, Any]) -> bool:
    """Whether target and answer are a few words each, and stand nowhere in the text."""
    placed = any(mark for name in ("expected", "answered") for _, mark in one[name])
    return (
        not placed
        and not one.get("written")
        and all(len(one[name] or "") <= BRIEF for name in ("target", "prediction"))
    )


def _said(one: Mapping[str, Any]) -> list[tuple[str, object]]:
    return [("expected", one["target"]), ("predicted", one["prediction"])] if _brief(one) else []


def _shown(one: Mapping[str, Any], hues: Mapping[str, int]) -> p.Part:
    """The input, and the answer asked for beside the one given, unless a few words below say both."""
    if _brief(one):
        return _input(one["input"], hues) if one.get("text_b") else one["text"]
    if not any(mark for name in ("expected", "answered") for _, mark in one[name]):
        reference, answer = p.differences(one["target"] or "", one["prediction"] or "")
        names = ("reference", "answer") if one.get("written") else ("expected", "predicted")
        both: list[tuple[p.Part, p.Tone]] = [(reference, "good"), (answer if one["prediction"] else "nothing", "bad")]
        sides = p.compared([(name, *side) for name, side in zip(names, both, strict=True)], beside=True)
        return p.together(_input(one["input"], hues), sides)
    same = _common(one["input"], one["expected"], one["answered"])
    asked, said = (_rest(one["input"], one[name], same) for name in ("expected", "answered"))
    good = _against(asked, said, one["target"], hues)
    bad = _against(said, asked, one["prediction"], hues)
    sides = p.compared([("expected", good, "good"), ("predicted", bad, "bad")])
    return p.together(_input(one["input"][:same], hues) if same else "", sides)


def _input(pieces: Pieces, hues: Mapping[str, int]) -> p.Html:
    """A record as it came in; the two texts of a pair beside each other."""
    texts = [text.strip() for text, _ in pieces]
    if len(texts) == 2 and not any(mark for _, mark in pieces) and max(map(len, texts)) <= LONG_SIDE:
        return p.side_by_side(*(p.quote(text) for text in texts))
    return p.marked([(text.strip() if len(pieces) == 1 else text, mark) for text, mark in pieces], hues=hues)


def _common(*readings: Pieces) -> int:
    """How many pieces all begin with."""
    return next((at for at, same in enumerate(zip(*readings, strict=False)) if any(one != same[0] for one in same)), min(map(len, readings)))  # fmt: skip


def _rest(given: Pieces, reading: Pieces, same: int) -> Pieces:
    """What a reading adds to the pieces that all share; of an answer below the input, the answer alone."""
    return reading[len(given) :] if reading[: len(given)] == given else reading[same:]


def _against(reading: Pieces, other: Pieces, said: str, hues: Mapping[str, int]) -> p.Part:
    """A reading with those marks loud that the other one does not have; one that marks nothing in its own words."""
    if not any(mark for _, mark in reading):
        return said or "nothing"
    told = {place for place in _places(other) if place is not None}
    places = _places(reading)
    loud = {at for at, place in enumerate(places) if place is not None and place not in told}
    lines = [(text.lstrip("\n") if not at else text, mark) for at, (text, mark) in enumerate(reading)]
    return p.marked(lines, loud=loud or {-1}, hues=hues)


def _places(reading: Pieces) -> list[tuple[int, str, str] | None]:
    """(first character, text, mark) of each marked piece, None for the others."""
    places: list[tuple[int, str, str] | None] = []
    at = 0
    for text, mark in reading:
        places.append((at, text, mark) if mark else None)
        at += len(text)
    return places


def _neighbours(one: Mapping[str, Any], hues: Mapping[str, int]) -> p.Part:
    around = one["neighbours"]
    if not around:
        return ""
    placed = any(mark for each in around for _, mark in each["pieces"])
    labels = ["label"] if not placed else []
    rows = [
        (
            _input(each["pieces"], hues)
            if placed
            else p.quote(" | ".join(filter(None, (each["text"], each.get("text_b"))))),
            *([each["label"]] if labels else []),
            each["label_from"],
            each["confidence"],
            each["similarity"],
            each["id"],
        )
        for each in around
    ]
    heads = ["nearest training text", *labels, "label from", "confidence", "similarity", "id"]
    told = f"{len(around)} nearest training texts"
    if _brief(one):
        counts = Counter(each["label"] for each in around)
        told += ": " + ", ".join(f"{count} × {label or '–'}" for label, count in counts.most_common())
    doubt = p.note("The label of this test record may be wrong: the model is sure and its neighbours agree with it.")
    return p.together(p.fold(told, p.table(heads, rows, sort=False)), doubt if one["doubtful"] else "")


def _pulled(one: Mapping[str, Any]) -> p.Part:
    """The training records without which the answer would lean less to where it went."""
    if not one.get("pulled_by"):
        return ""
    rows = [
        (p.quote(" | ".join(filter(None, (each["text"], each.get("text_b"))))), each["label"], each["pull"], each["id"])
        for each in one["pulled_by"]
    ]
    against = sum(each["label"] == one["prediction"] for each in one["pulled_by"])
    told = f"{len(rows)} training records pulled it there, {against} of them labelled {one['prediction']}"
    return p.fold(told, p.table(["training text", "label", "pull, logits", "id"], rows, sort=False))


def _errors(numbers: Mapping[str, Any]) -> list[p.Part]:
    errors = numbers["errors"]
    if not errors["items"]:
        return ["No error on this test set."]
    doubtful = sum(one["doubtful"] for one in errors["items"])
    remark = (
        f"{doubtful} of these {len(errors['items'])} may be wrong labels of the test set itself." if doubtful else ""
    )
    return [f"Nearest training records by {errors['nearest_by']}. {remark}", error_list(errors, shown=8)]


def _aside(numbers: Mapping[str, Any]) -> p.Part:
    aside = numbers["judged_by"]["set_aside"]
    rows = [(reason, count) for reason, count in aside.items()]
    return p.fold(f"{sum(aside.values()):,} rows could not judge", p.table(["reason", "rows"], rows)) if aside else ""


def _also(numbers: Mapping[str, Any]) -> p.Part:
    if not numbers["also_judged"]:
        return ""
    chief, *other = _chiefs(numbers)
    rows = [
        (one["about"], "yes" if one["checked"] else "no", one["n"], one[chief], _between(one["interval"]), *(one[name] for name in other))
        for one in numbers["also_judged"]
    ]  # fmt: skip
    heads = ["the same model on", "checked", "records", word(chief), "95% interval", *map(word, other)]
    return p.together(p.heading("Other labels"), p.table(heads, rows))


def _baselines(numbers: Mapping[str, Any]) -> p.Html:
    chief, *other = _chiefs(numbers)
    rows: list[tuple[Any, ...]] = [("this model", numbers[chief], *(numbers[name] for name in other), None, None, None)]
    for one in reversed(numbers["baselines"]):
        gain = one["gain"][chief]
        figures = (one[name] for name in (chief, *other))
        rows.append(
            (
                one["name"],
                *figures,
                _points(numbers, gain["value"]),
                _points(numbers, *gain["interval"]),
                gain["p_value"],
            )
        )
    top = max([1.0, *(abs(row[1]) for row in rows)])
    bars = p.bars([(row[0], max(row[1], 0.0)) for row in rows], maximum=top, caption=title(chief))
    heads = ["", word(chief), *map(word, other), "the model is better by", "95% interval", "p"]
    return p.together(bars, p.table(heads, rows, sort=False)) if len(rows) > 1 else p.prose("No baseline was trained.")


def _leaks(numbers: Mapping[str, Any]) -> p.Html:
    leaks = numbers["leaks"]
    if not leaks["count"]:
        return p.prose(f"None at a similarity of {leaks['similarity']:g} or more.")
    names = _chiefs(numbers)
    rows = [("all records", numbers["n"], *(numbers[name] for name in names))]
    for key, name in (("without", "without those also in training"), ("only", "only those")):
        if key in leaks:
            rows.append((name, leaks[key]["n"], *(leaks[key][figure] for figure in names)))
    pairs = [(one["test"], one["train"], one["similarity"]) for one in leaks["examples"]]
    return p.together(
        p.table(["judged on", "records", *map(word, names)], rows, sort=False),
        p.fold(f"The first {len(pairs)} pairs", p.table(["test record", "training record", "similarity"], pairs)),
    )


def _slices(numbers: Mapping[str, Any]) -> p.Html:
    chief, *other = _chiefs(numbers)
    rows = [
        (one["by"], one["value"], one["n"], one[chief], _between(one["interval"]), *(one[name] for name in other), "below the rest" if one["below"] else "")
        for one in numbers["slices"]
    ]  # fmt: skip
    heads = ["by", "slice", "records", word(chief), "95% interval", *map(word, other), ""]
    return p.table(heads, rows) if rows else p.prose("The test records do not differ in language, source or length.")


def _models(numbers: Mapping[str, Any]) -> p.Html:
    names = _chiefs(numbers)
    more = [name for name in ("ece", "log_loss") if name in numbers["models"][-1]]
    rows = [
        (
            one["name"], *(one[name] for name in (*names, *more)), p.share(one["agreement"]), one["parameters"],
            "serves" if one["serves"] else _points(numbers, one["difference"][numbers["figure"]]),
        )
        for one in numbers["models"]
    ]  # fmt: skip
    words = {"ece": "calibration error", "log_loss": "log loss"}
    heads = ["model", *map(word, names), *(words[name] for name in more), "same answers", "parameters", "against it"]
    return p.table(heads, rows, sort=False)


def _between(pair: Sequence[float]) -> str:
    low, high = (p.figure(float(end)) for end in pair)
    return f"{low} to {high}" if pair[0] < 0 else f"{low}–\u2060{high}"


def _points(numbers: Mapping[str, Any], *values: float) -> str:
    """Differences of the chief figure in points."""
    return " to ".join(f"{numbers.get('points', 100.0) * value:+.1f}" for value in values)
