"""Lists to rank out of behaviour logs: what was shown, what was wanted, and what was left lying."""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from burnish.construct.gathering import gathered, grown
from burnish.construct.making import made
from burnish.construct.rankings.events import FIELDS, Event, Rules, checked_grades, of_file, of_records
from burnish.construct.rankings.negatives import drawn, miner
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import Record
from burnish.core.stage import Context, Count, Positive, Share, TaskSpec, nearest, stage
from burnish.measures import click_models
from burnish.nn.backbones import Backbone

BY = "construct.behaviour"
PLACES = 50  # from which positions count as one
JUDGED = 2  # lists of a user, the last ones, that judge: the test and the validation of a leave-one-out


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: lists are for a task that ranks; fields are an event's."""
    from burnish.core.tasktypes import targets_of

    found = []
    if "value" not in targets_of(task):
        found.append(
            (
                "use",
                f"it says how relevant candidates are, and a target of {task.type} is none",
                "task: {type: ranking}",
            )
        )
    for name in settings["fields"] or ():
        if name not in FIELDS:
            found.append(("fields", f"an event has no {name!r}", nearest(name, FIELDS, "it has")))
    if settings["query"] == "history" and settings["position_bias"] not in ("none", "auto"):
        found.append(
            ("position_bias", "the next item of a history was found, not shown at a place", "position_bias: none")
        )
    return found


@dataclass
class Listed:
    """One list to be: a query, what was wanted and how much, what was not."""

    key: str
    query: str
    user: str | None
    time: datetime.datetime | None
    values: dict[str, float] = field(default_factory=dict)
    negatives: dict[str, str] = field(default_factory=dict)  # item -> how it came
    confidence: dict[str, float] = field(default_factory=dict)
    parents: list[Record] = field(default_factory=list)


@stage(BY, check=_problems)
def behaviour(
    records: Records,
    context: Context,
    *,
    log: Path | None = None,
    fields: dict[str, str] | None = None,
    columns: list[str] | None = None,
    query: Literal["text", "history"] = "text",
    history: Positive = 10,
    separator: str = "; ",
    actions: dict[str, float] | None = None,
    min_dwell: float = 0.0,
    negatives: Literal["skipped", "shown", "none"] = "skipped",
    num_random: Count = 0,
    num_mined: Count = 0,
    mine_by: Literal["bm25", "embeddings"] = "bm25",
    margin: Share = 0.95,
    judged: Count = 0,
    per_user: Count = 0,
    position_bias: Literal["auto", "none", "em", "regression_em", "harvest"] = "none",
    min_propensity: Share = 0.05,
    backbone: Backbone = Backbone("auto"),
) -> Records:
    """Make lists to rank out of what people were shown and what they did with it.

    log: a file of events (.jsonl, .csv, .tsv, .parquet); the records are then the items, known by meta.item or their id.
        Without it the records are the events: text the query, text_b the item, the rest in meta.
    fields: user, list, query, item, text (of the item), position, action, dwell, time -> its key, where it is another.
    columns: names of the columns of a log without a header.
    query: text is a query somebody wrote; history is the items before, newest first, for what comes next.
    history: items in a query.
    separator: between them.
    actions: what an action is worth, beside impression 0, click 1, cart 2, purchase 3; never more than the task's highest.
    min_dwell: seconds; a click that stayed less counts as shown alone.
    negatives: of a page, skipped takes what stood above the last click and was not clicked (Joachims 2002), shown all that
        was not clicked.
    num_random: items drawn for a wanted one that this user (or this query) never wanted.
    num_mined: items that look wanted by `mine_by` and are not known to be.
    mine_by: words, or vectors of the backbone.
    margin: a mined item above this share of the wanted one's score is left alone, 0..1: it may be wanted too.
    judged: items drawn for the last two lists of a user instead, which `split.leave_one_out` makes validation and test.
    per_user: lists of a user, the newest; 0 for all.
    position_bias: how far down a page people look is estimated, and clicks are worth what they would be were all looked at:
        em, regression_em (of the words of query and item), or harvest (items seen at several places); auto takes harvest
        where it can, else em. Pages of one query become one list, whose values are these estimates.
    min_propensity: a place is looked at at least so often, 0..1, so that one click far down does not outweigh all.
    backbone: for mine_by embeddings.

    Records come out as text (query), text_b (item), value, with time, meta.user, meta.item and group: the list. A list without
    a wanted item, or without an unwanted one, is refused and counted. Memory: the log.
    """
    rules = Rules(checked_grades(actions), min_dwell, float(context.task.options.get("highest", 1)), Counter())
    read = gathered(records, context)
    if log is not None:
        texts, of_item = _items(read)
        events = list(of_file(log, fields or {}, columns, rules))
    else:
        events = list(of_records(read, fields or {}, rules))
        texts = {one.item: one.text for one in events if one.text}
        of_item = {}
    refused: Counter[str] = Counter(rules.skipped)
    events = _with_text(events, texts, refused)
    told: dict[str, Any] = {
        "events": len(events),
        "items": len(texts),
        "users": len({one.user for one in events if one.user}),
    }
    if query == "history":
        lists = _histories(events, texts, history, separator, refused)
    elif position_bias == "none" or (position_bias == "auto" and all(one.position is None for one in events)):
        lists = _pages(events, negatives, refused)
    else:
        lists = _corrected(events, texts, position_bias, min_propensity, rules.highest, context, told)
    wanted = _wanted(events, by_user=query == "history")
    mine = miner(texts, mine_by, margin, backbone, context) if num_mined else None
    lists = _newest(lists, per_user)
    last = _last(lists) if judged else {}
    alone = 0
    for one in lists:
        known = wanted[one.user if query == "history" else one.query] | set(one.values)
        best = max(one.values, key=lambda item: one.values[item])
        if mine is not None and one.key not in last and one.values[best] > 0:
            found, left = mine(one.query, best, known, num_mined)
            alone += left
            for item in found:
                one.negatives.setdefault(item, "mined")
        count = judged if one.key in last else num_random
        for item in drawn(list(texts), known | set(one.negatives), count, f"{context.seed}/{one.key}"):
            one.negatives.setdefault(item, "drawn")
    if mine is not None:
        told["mined_left_alone"] = alone
    born = [record for one in lists for record in _records(one, texts, of_item, context, refused)]
    told["lists"] = len({record.group for record in born})
    told["negatives"] = dict(Counter(record.meta["how"] for record in born if record.value == 0))
    return grown(records, born, refused, context, by=BY, what="candidates", seen=len(read), told=told)


def _items(read: Sequence[Record]) -> tuple[dict[str, str], dict[str, Record]]:
    """Item -> its text and its record."""
    of_item = {str(record.meta.get("item", record.id)): record for record in read if (record.text or "").strip()}
    return {item: record.text or "" for item, record in of_item.items()}, of_item


def _with_text(events: Sequence[Event], texts: Mapping[str, str], refused: Counter[str]) -> list[Event]:
    kept = [one for one in events if one.item in texts]
    refused["an item without a text"] += len(events) - len(kept)
    if not kept:
        raise BurnishError(
            "no event is about an item with a text",
            where=BY,
            hint="items are known by meta.item or their id; fields: {item: COLUMN, text: COLUMN} says where the log has them",
        )
    return kept


def _wanted(events: Iterable[Event], *, by_user: bool) -> Mapping[str | None, set[str]]:
    """User (or query) -> items that were ever wanted: no negatives of theirs."""
    found: defaultdict[str | None, set[str]] = defaultdict(set)
    for one in events:
        if one.grade > 0:
            found[one.user if by_user else one.query].add(one.item)
    return found


def _in_time(events: Iterable[Event]) -> list[Event]:
    """By time, events without one first; of equal times by item, so that the file's order says nothing."""
    earliest = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return sorted(events, key=lambda one: (one.time or earliest, len(one.item), one.item))


def _histories(
    events: Sequence[Event], texts: Mapping[str, str], length: int, separator: str, refused: Counter[str]
) -> list[Listed]:
    """For every wanted item of a user but the first, the items before it as the query."""
    by_user: defaultdict[str, list[Event]] = defaultdict(list)
    for one in events:
        if one.user is None:
            refused["no user"] += 1
        elif one.grade > 0:
            by_user[one.user].append(one)
    lists = []
    for user, own in by_user.items():
        own = _in_time(own)
        refused["the first of a user: nothing before it"] += 1
        for at in range(1, len(own)):
            before = [texts[one.item] for one in own[max(0, at - length) : at]]
            event = own[at]
            made_of = [one.record for one in own[max(0, at - length) : at + 1] if one.record]
            lists.append(
                Listed(
                    f"{user}@{at}", separator.join(reversed(before)), user, event.time, {event.item: event.grade},
                    parents=made_of,
                )
            )  # fmt: skip
    return lists


def _pages(events: Sequence[Event], negatives: str, refused: Counter[str]) -> list[Listed]:
    """One list a page of results: the clicked ones, and what was passed over."""
    pages: defaultdict[tuple[str | None, str | None, str | None], list[Event]] = defaultdict(list)
    for one in events:
        if one.query is None:
            refused["no query"] += 1
        else:
            pages[one.list, one.query, one.user].append(one)
    lists = []
    for number, ((page, said, user), own) in enumerate(pages.items()):
        best = _best(own)
        values = {item: one.grade for item, one in best.items() if one.grade > 0}
        if not values:
            refused["nothing was clicked"] += 1
            continue
        lowest = max((best[item].position or 0) for item in values)
        left = {
            item: "shown"
            for item, one in best.items()
            if one.grade == 0
            and (negatives == "shown" or (negatives == "skipped" and 0 < (one.position or 0) < lowest))
        }
        times = [one.time for one in own if one.time]
        lists.append(
            Listed(
                page or f"page{number}", str(said), user, max(times, default=None), values, left,
                parents=_unique(one.record for one in own),
            )
        )  # fmt: skip
    return lists


def _best(own: Iterable[Event]) -> dict[str, Event]:
    """Item -> the event with the highest grade, with the place it was shown at."""
    best: dict[str, Event] = {}
    places: dict[str, int] = {}
    for one in own:
        if one.position is not None:
            places.setdefault(one.item, one.position)
        if one.item not in best or one.grade > best[one.item].grade:
            best[one.item] = one
    for item, one in best.items():
        one.position = places.get(item, one.position)
    return best


def _unique(records: Iterable[Record | None]) -> list[Record]:
    return list({one.id: one for one in records if one is not None}.values())


def _corrected(
    events: Sequence[Event],
    texts: Mapping[str, str],
    how: str,
    least: float,
    highest: float,
    context: Context,
    told: dict[str, Any],
) -> list[Listed]:
    """One list a query: every item that was shown, its value what clicks would be worth were every place looked at."""
    shown: dict[tuple[str | None, str | None, str | None, str], Event] = {}
    for one in events:
        if one.query is not None:
            key = (one.list, one.query, one.user, one.item)
            had = shown.get(key)
            place = one.position if had is None or had.position is None else had.position
            shown[key] = one if had is None or one.grade > had.grade else had
            shown[key].position = place
    seen = [one for one in shown.values() if one.position is not None]
    if not seen:
        raise BurnishError(
            "no event says at which position it was shown",
            where=f"{BY}.position_bias",
            hint="fields: {position: COLUMN}",
        )
    pairs: dict[tuple[str, str], int] = {}
    pair = np.array([pairs.setdefault((one.query or "", one.item), len(pairs)) for one in seen])
    position = np.minimum(np.array([one.position or 1 for one in seen]) - 1, PLACES - 1)
    clicked = np.array([one.grade > 0 for one in seen])
    found, used = _examined(how, position, clicked, pair, pairs, texts, context)
    gain = np.array([one.grade for one in seen]) / highest
    value = np.clip(click_models.relevance(position, gain, pair, found, least=least), 0, 1) * highest
    looks = np.bincount(pair, weights=np.maximum(found, least)[position])
    told["position_bias"] = {"method": used, "propensity": [round(float(one), 4) for one in found]}
    context.progress.tell(f"  {BY}: places are looked at as {', '.join(f'{one:.2f}' for one in found[:10])} ({used})")
    lists: dict[str, Listed] = {}
    for (said, item), at in pairs.items():
        own = lists.setdefault(said, Listed(f"query:{said}", said, None, None))
        own.values[item] = float(value[at])
        own.confidence[item] = float(looks[at] / (looks[at] + 1.0))
    for one in seen:
        own = lists[one.query or ""]
        own.time = max((time for time in (own.time, one.time) if time), default=None)
        if one.record is not None:
            own.parents.append(one.record)
    for own in lists.values():
        own.parents = _unique(own.parents)
    return list(lists.values())


def _examined(
    how: str, position: np.ndarray, clicked: np.ndarray, pair: np.ndarray, pairs: Mapping[tuple[str, str], int],
    texts: Mapping[str, str], context: Context,
) -> tuple[np.ndarray, str]:  # fmt: skip
    """(K,) how often each place is looked at, and by which method that is known."""
    if how in ("auto", "harvest"):
        harvested = click_models.harvest(position, clicked, pair)
        if harvested is not None:
            return harvested.propensity, "harvest"
        if how == "harvest":
            raise BurnishError(
                "too few items were seen at several places",
                where=f"{BY}.position_bias", hint="regression_em learns from the words of queries and items",
            )  # fmt: skip
    if how == "regression_em":
        from sklearn.feature_extraction.text import HashingVectorizer

        from burnish.text.words import terms

        said = [f"{query}\n{texts[item]}" for query, item in pairs]
        features = HashingVectorizer(analyzer=_crossed(terms), n_features=2**18, alternate_sign=False).transform(said)
        return click_models.regression_em(position, clicked, pair, features).propensity, how
    return click_models.em(position, clicked, pair).propensity, "em"


def _crossed(terms: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """Words of query and item, and each word of one with each of the other."""

    def analyse(both: str) -> list[str]:
        query, _, item = both.partition("\n")
        ours, theirs = terms(query)[:12], terms(item)[:24]
        return (
            [f"q {one}" for one in ours] + [f"i {one}" for one in theirs] + [f"{a}×{b}" for a in ours for b in theirs]
        )

    return analyse


def _newest(lists: Sequence[Listed], most: int) -> list[Listed]:
    """The newest lists of each user, in the order they came; lists are in time order within a user."""
    if not most:
        return list(lists)
    count = Counter(one.user for one in lists)
    kept, seen = [], Counter[str | None]()
    for one in lists:
        seen[one.user] += 1
        if one.user is None or seen[one.user] > count[one.user] - most:
            kept.append(one)
    return kept


def _last(lists: Sequence[Listed]) -> dict[str, None]:
    """Keys of the last lists of each user, which judge."""
    own: defaultdict[str | None, list[str]] = defaultdict(list)
    for one in lists:
        own[one.user].append(one.key)
    return {key: None for user, keys in own.items() if user is not None for key in keys[-JUDGED:]}


def _records(
    one: Listed, texts: Mapping[str, str], of_item: Mapping[str, Record], context: Context, refused: Counter[str]
) -> list[Record]:
    """A list as records, one a candidate, in an order that says nothing."""
    values = {**one.values, **{item: 0.0 for item in one.negatives if item not in one.values}}
    if len(set(values.values())) < 2:
        refused["a list without an order"] += 1
        return []
    born = []
    for item in drawn(list(values), (), len(values), f"{context.seed}/order/{one.key}"):
        how = (
            one.negatives.get(item, "wanted")
            if item not in one.values
            else ("estimated" if one.confidence else "wanted")
        )
        parents = one.parents or [of_item[item]]
        meta = {"item": item, "how": how, **({"user": one.user} if one.user else {})}
        record = made(
            parents, by=BY, why=f"{how}, value {values[item]:.3g}", text=one.query, text_b=texts[item],
            value=values[item], confidence=one.confidence.get(item, 1.0 if how == "wanted" else 0.8), meta=meta,
        )  # fmt: skip
        record.group, record.time = one.key, one.time
        born.append(record)
    return born
