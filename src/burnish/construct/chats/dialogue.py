"""Logs of customer service become conversations a trainer can learn from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Annotated, Any, Literal

from annotated_types import Gt

from burnish.construct.chats.answers import Answers, Threshold, like_questions, rated
from burnish.construct.chats.answers import resolved as is_resolved
from burnish.construct.chats.speakers import ROLES, Silence, canned_answers, name_of, role_of
from burnish.construct.fields import field_problems, need, value_of
from burnish.construct.making import MATERIAL, made, story
from burnish.core.artifacts import BATCH_ROWS, Records
from burnish.core.errors import BurnishError
from burnish.core.records import Record, SeenCounts, assign_ids, to_table
from burnish.core.stage import Context, Positive, Share, TaskSpec, nearest, stage
from burnish.measures.conversations import conversation_figures, problem, told
from burnish.nn.backbones import Backbone
from burnish.text.normalise import normalise
from burnish.text.pii import KINDS, Masker

BY = "construct.dialogue"
Role = Literal["user", "assistant", "system", "skip"]
Hours = Annotated[float, Gt(0)]


@dataclass
class Said:
    """One message of a log, or of a record's `messages`."""

    speaker: str
    text: str
    record: Record
    role: str | None = None


@dataclass
class Talk:
    """A conversation on its way: what was said, the records it is made of, how it ended."""

    name: str
    said: list[Said]
    records: list[Record]
    outcome: float | None = None
    turns: list[dict[str, str]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    masked: dict[str, int] = field(default_factory=dict)
    why_not: str = ""


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    found = []
    for key in ("conversation", "speaker", "order", "resolved", "rating"):
        found += field_problems(key, settings[key])
    for one in settings["names"] or ():
        found += field_problems("names", one)
    for one in settings["mask"] if isinstance(settings["mask"], list) else ():
        if one not in KINDS:
            found.append(("mask", f"no kind of personal data {one!r}", nearest(one, KINDS, "there are")))
    return found


@stage("construct.dialogue", check=_problems)
def dialogue(
    records: Records,
    context: Context,
    *,
    conversation: str = "group",
    speaker: str = "meta.speaker",
    order: str = "time",
    roles: dict[str, Role] | None = None,
    notices: list[str] | None = None,
    canned: Share = 0.3,
    mask: Literal["all", "none"] | list[str] = "all",
    names: list[str] | None = None,
    resolved: str | None = None,
    rating: str | None = None,
    best_rating: Positive = 5,
    pause: Hours | None = None,
    least_turns: Positive = 2,
    answers: Literal["all", "best"] = "all",
    alike: Threshold = 0.3,
    backbone: Backbone = Backbone("auto"),
) -> Records:
    """Make a conversation of every exchange in a log: one record a message, or records with `messages` of any roles.

    conversation: the field that messages of one conversation share. speaker: the field that says who speaks.
    order: the field by which messages follow each other; those without it follow in the order of the file.
    roles: speaker -> user, assistant, system or skip, for words beyond the known ones (agent, customer, 客服, 用户, ...); who is
    not known takes the role nobody else in the conversation has.
    notices: regular expressions of whole messages that nobody says, beside those known (joined the chat, 会话已结束).
    canned: share of conversations from which a sentence of agents, word for word, is a reply sent by itself, 0..1.
    mask: all, none, or kinds of personal data: email, phone, id_number, bank_card, iban, ssn, ip, account, plate, address, name.
    names: fields that hold names of people, to be masked wherever they stand.
    resolved: the field that says whether the customer was helped (true, yes, 1, 已解决). rating: the field of the customer's
    rating. best_rating: the highest there is; 1 is the lowest.
    pause: hours of silence after which a new conversation begins.
    least_turns: of a conversation; shorter ones are refused.
    answers: best keeps, of conversations with one question and like ones, that with the best answer by outcome and frequency.
    alike: mean cosine from which questions are like, for best. backbone: whose vectors say so.

    Consecutive messages of one side become one turn; what agents say before the first question, and questions nobody
    answers at the end, are left out. What is refused is counted with its reason. The log passes behind as material with the
    same mask, set aside. Sees all records at once.
    """
    rows = list(records)
    talks = list(_talks(rows, conversation, speaker, order, pause))
    need(len(talks), speaker, where=BY, hint="speaker: the field that says who speaks; records with messages need none")
    _cast(talks, roles or {}, context)
    silence = Silence(notices or ())
    silence.canned = canned_answers(
        [[one.text for one in talk.said if one.role == "assistant"] for talk in talks], share=canned
    )
    masks: dict[int, Masker] = {}
    kinds = KINDS if mask == "all" else () if mask == "none" else tuple(mask)
    for talk in talks:
        talk.outcome = _outcome(talk.records, resolved, rating, best_rating)
        if not talk.why_not:
            _turns(talk, silence, least_turns)
        masker = _masked(talk, kinds, names or (), speaker)
        masks |= {id(one): masker for one in talk.records}
    figures: dict[str, Any] = {}
    if answers == "best":
        _keep_best(talks, threshold=alike, backbone=str(backbone), context=context)
    facts = dict(records.facts)
    good = [talk for talk in talks if not talk.why_not]
    figures = conversation_figures([talk.turns for talk in good])
    dropped = sum((talk.dropped for talk in talks), Counter[str]())
    masked = sum((Counter(talk.masked) for talk in talks), Counter[str]())
    facts["conversations"] = {
        **figures,
        "left_out": dict(dropped.most_common()),
        "masked_values": dict(masked.most_common()),
        "with_outcome": sum(talk.outcome is not None for talk in good),
        "canned": sorted(silence.canned),
    }
    counts = Counter(seen=len(rows), material=len({id(one) for talk in good for one in talk.records}), made=len(good))
    refused = Counter(talk.why_not for talk in talks if talk.why_not)
    story(facts, counts, refused, by=BY, what="conversations", context=context)
    context.progress.tell(f"  {told(figures)}")
    if dropped:
        context.progress.tell("  left out of conversations: " + _listed(dropped))
    if masked:
        context.progress.tell("  masked: " + _listed(masked))
    grown = Records.stream(_written(rows, talks, masks, kinds))
    grown.facts = facts
    return grown


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())


# -- from rows to conversations


def _talks(rows: Sequence[Record], conversation: str, speaker: str, order: str, pause: float | None) -> Iterator[Talk]:
    """Conversations in the order they begin in the file."""
    groups: dict[str, list[Record]] = {}
    for row in rows:
        if not row.keep:
            continue
        if row.messages:
            said = [Said(turn["role"], turn["content"] or "", row) for turn in row.messages]
            yield Talk(str(row.id), said, [row])
            continue
        name, who = value_of(row, conversation), value_of(row, speaker)
        if who is None or name is None:
            continue
        groups.setdefault(str(name), []).append(row)
    for name, members in groups.items():
        members = _ordered(members, order)
        for number, part in enumerate(_sessions(members, pause)):
            said = [Said(str(value_of(one, speaker)), one.text or "", one) for one in part]
            yield Talk(f"{name}~{number}" if number else name, said, part)


def _ordered(members: list[Record], order: str) -> list[Record]:
    """By the field where all have it, else as they came; the sort is stable."""
    keys = [value_of(one, order) for one in members]
    if any(key is None for key in keys):
        return members
    try:
        numbers = [float(key) if isinstance(key, int | float | str) and order != "time" else key for key in keys]
        return [members[at] for at in sorted(range(len(members)), key=lambda at: numbers[at])]
    except (TypeError, ValueError):
        return [members[at] for at in sorted(range(len(members)), key=lambda at: str(keys[at]))]


def _sessions(members: list[Record], pause: float | None) -> Iterator[list[Record]]:
    part: list[Record] = []
    for one in members:
        before = part[-1].time if part else None
        if pause and before and one.time and one.time - before > timedelta(hours=pause):
            yield part
            part = []
        part.append(one)
    if part:
        yield part


def _cast(talks: Sequence[Talk], roles: Mapping[str, str], context: Context) -> None:
    """Give every message its role; a conversation whose speakers cannot be told apart is refused."""
    given = {normalise(name): role for name, role in roles.items()}
    known: dict[str, str | None] = {}
    unknown: Counter[str] = Counter()
    for talk in talks:
        for one in talk.said:
            if one.speaker not in known:
                known[one.speaker] = role_of(one.speaker, given)
            one.role = known[one.speaker]
        strangers = dict.fromkeys(one.speaker for one in talk.said if one.role is None)  # in their order
        taken = {one.role for one in talk.said} & {"user", "assistant"}
        if len(strangers) == 1 and len(taken) == 1:  # two sides, and one of them is known
            other = "assistant" if "user" in taken else "user"
            for one in talk.said:
                one.role = one.role or other
        elif strangers:
            unknown.update(list(strangers))
            talk.why_not = "speaker of unknown role"
    if unknown and all(talk.why_not for talk in talks):
        said = ", ".join(repr(name) for name, _ in unknown.most_common(6))
        raise BurnishError(
            f"no conversation has speakers whose roles are known; the commonest are {said}",
            where=f"{BY}: roles",
            hint=f"roles: {{{unknown.most_common(1)[0][0]}: user, ...}}; a role is {', '.join(ROLES)}",
        )


def _turns(talk: Talk, silence: Silence, least: int) -> None:
    """Turns of user and assistant by turns, or the reason why there are none."""
    turns: list[dict[str, str]] = []
    system = ""
    lines: list[str] = []
    for at, one in enumerate(talk.said):
        if one.record.messages and one.role == "system" and at == 0 and one.text.strip():
            system = one.text.strip()
            continue
        why = "skipped speaker" if one.role == "skip" else silence.why(one.text, one.role)
        if why:
            talk.dropped[why] += 1
            continue
        text = one.text.strip()
        if turns and turns[-1]["role"] == one.role:
            if normalise(text) in lines:
                talk.dropped["message sent twice"] += 1
                continue
            turns[-1]["content"] += "\n" + text
            lines.append(normalise(text))
        elif not turns and one.role == "assistant":
            talk.dropped["said before the first question"] += 1
            continue
        else:
            turns.append({"role": str(one.role), "content": text})
            lines = [normalise(text)]
    if not turns:
        answered = any(one.role == "assistant" for one in talk.said)
        asked = any(one.role == "user" and not silence.why(one.text, "user") for one in talk.said)
        talk.why_not = "one-sided: nobody asks" if answered and not asked else "empty conversation"
        return
    if turns[-1]["role"] == "user" and len(turns) > 1:
        talk.dropped["question without an answer at the end"] += 1
        turns.pop()
    if turns[-1]["role"] == "user":
        talk.why_not = "one-sided: nobody answers"
    elif len(turns) < least:
        talk.why_not = f"fewer than {least} turns"
    talk.turns = [{"role": "system", "content": system}, *turns] if system else turns


# -- personal data, outcomes


def _masked(talk: Talk, kinds: Sequence[str], names: Sequence[str], speaker: str) -> Masker:
    """Mask the turns, and give the masker that knows the conversation's names."""
    masker = Masker(kinds)
    if not kinds:
        return masker
    if "name" in kinds:
        for record in talk.records:
            masker.names |= {str(value).strip() for one in names if (value := value_of(record, one))}
        masker.names |= {name for who in {one.speaker for one in talk.said} if (name := name_of(who))}
        for one in talk.said:
            masker.learn(one.text)
    for turn in talk.turns:
        turn["content"] = masker.mask(turn["content"])
    talk.masked = dict(masker.counts)
    return masker


def _outcome(rows: Sequence[Record], resolved: str | None, rating: str | None, best: int) -> float | None:
    """0..1: the mean of what is known of resolution and rating, the last word on each; None where nothing is."""
    known = []
    if resolved:
        known.append(
            next((done for one in reversed(rows) if (done := is_resolved(value_of(one, resolved))) is not None), None)
        )
    if rating:
        known.append(
            next(
                (stars for one in reversed(rows) if (stars := rated(value_of(one, rating), best=best)) is not None),
                None,
            )
        )
    told = [one for one in known if one is not None]
    return sum(told) / len(told) if told else None


def _keep_best(talks: Sequence[Talk], *, threshold: float, backbone: str, context: Context) -> None:
    """Of conversations of one question each that are alike, refuse all but that with the best answer."""
    short = [talk for talk in talks if not talk.why_not and sum(one["role"] == "user" for one in talk.turns) == 1]
    questions = [next(one["content"] for one in talk.turns if one["role"] == "user") for talk in short]
    given = Answers([talk.turns[-1]["content"] for talk in short], [talk.outcome for talk in short])
    groups: dict[int, list[int]] = defaultdict(list)
    for at, cluster in enumerate(like_questions(questions, threshold=threshold, backbone=backbone, context=context)):
        groups[int(cluster)].append(at)
    for members in groups.values():
        best = given.ranked(members)[0]
        stays = next(row for row in best.rows if given.texts[row] == best.text)
        for at in members:
            if at != stays:
                short[at].why_not = "a like question has a better answer"


# -- back to records


def _written(
    rows: Sequence[Record], talks: Sequence[Talk], masks: Mapping[int, Masker], kinds: Sequence[str]
) -> Iterator[Any]:
    """The log as material, masked and set aside, then the conversations."""
    fate = {id(one): talk for talk in talks for one in talk.records}
    seen = SeenCounts()
    for at in range(0, len(rows), BATCH_ROWS):
        batch = [_material(one, fate.get(id(one)), masks.get(id(one)), kinds) for one in rows[at : at + BATCH_ROWS]]
        yield assign_ids(to_table(batch), seen)
    born = [_record(talk) for talk in talks if not talk.why_not]
    for at in range(0, len(born), BATCH_ROWS):
        yield assign_ids(to_table(born[at : at + BATCH_ROWS]), seen)


def _material(record: Record, talk: Talk | None, masker: Masker | None, kinds: Sequence[str]) -> Record:
    """A row of the log as it passes: what it was used for, or why it was not; never learnt from as it is."""
    if talk is None or masker is None:
        return record
    reason = f"refused: {talk.why_not}" if talk.why_not else f"{BY} made 1 of it"
    finding = {"check": MATERIAL, "score": 1.0, "reason": reason, "action": "set aside"}
    changed = replace(record, keep=False, findings=[*record.findings, finding])
    if not kinds:
        return changed
    changed.text = masker.mask(record.text) if record.text else record.text
    changed.messages = [{**one, "content": masker.mask(one["content"] or "")} for one in record.messages or ()] or None
    changed.meta = _plain(record.meta, masker)
    if (changed.text, changed.messages, changed.meta) != (record.text, record.messages, record.meta):
        changed.trail = [*record.trail, f"{BY}: personal data masked"]
    return changed


def _plain(value: Any, masker: Masker) -> Any:
    """Every text inside a value masked."""
    if isinstance(value, dict):
        return {name: _plain(one, masker) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, masker) for one in value]
    return masker.mask(value) if isinstance(value, str) else value


def _record(talk: Talk) -> Record:
    assert problem(talk.turns) is None, problem(talk.turns)
    parts = [f"{len(talk.said)} messages of {talk.name!r} became {len(talk.turns)} turns"]
    parts += [f"left out {_listed(talk.dropped)}"] if talk.dropped else []
    parts += [f"masked {_listed(Counter(talk.masked))}"] if talk.masked else []
    meta: dict[str, Any] = {} if talk.outcome is None else {"outcome": round(talk.outcome, 4)}
    return made(
        talk.records, by=BY, why="; ".join(parts), messages=talk.turns, confidence=talk.outcome, meta=meta,
        group=talk.records[0].group or talk.name,
    )  # fmt: skip
