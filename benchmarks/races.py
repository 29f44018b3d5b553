"""What `train.py` lets run against each other, a task each: records for burnish, features for the others, one score.

Burnish learns through its task (examples, head, objective) and `nn.loop.fit`. The others learn as the documentation of
transformers shows the task: stock model, first sub-word of a word labelled, answers by start and end, adapters by peft.
Whoever answered, the same function scores: predictions become the answers of burnish's task, and its figure is taken;
a decoder is scored by its mean loss on the target tokens of the test side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from sets import Row

IGNORED = -100
Feature = dict[str, Any]


@dataclass
class Race:
    """One task on one set. max_length: tokens a text, or a window. lower: what is judged is
    the loss of target tokens, not the figure of the task."""

    spec: Any
    train: Any
    test: Any
    peer: Callable[[Race, str, int], Peer]
    max_length: int = 128
    padded: int = 128
    lower: bool = False

    @property
    def name(self) -> str:
        """Of the figure that all are compared by."""
        return "nats a target token" if self.lower else str(self.task.figure)

    def learnt(self, model: Any, sides: Any, head: Any) -> float:
        """The figure of a trained model of ours on the test side."""
        if self.lower:
            return target_loss(model.plain, _chat_features(self.test, sides.tokenizer, self.max_length))
        from burnish.nn.predict import predict_outputs

        inputs = self.task.inputs(self.test)
        encoded = self.task.encode(inputs, sides.tokenizer, max_length=sides.max_length)
        answers = self.task.decode(inputs, encoded, predict_outputs(model, encoded, head), {})
        return figure_of(self.task, self.test, answers)

    @cached_property
    def task(self) -> Any:
        from burnish.core.tasktypes import open_task

        return open_task(self.spec)


@dataclass
class Peer:
    """The same task for transformers. pads: what fills a feature up to the longest, by name; others stay as they are.

    score: outputs of the test features, one array or tuple of arrays each, to the figure; None where `judge` is.
    judge: the model to the figure, for what is not read off outputs.
    """

    model: Any
    tokenizer: Any
    train: list[Feature]
    test: list[Feature]
    pads: dict[str, int]
    score: Callable[[list[Any]], float] | None = None
    judge: Callable[[Any], float] | None = None
    rates: dict[str, float] = field(default_factory=dict)

    def judged(self, collate: Padded) -> float:
        """The figure of the trained model on the test features."""
        if self.judge is not None:
            return self.judge(self.model)
        assert self.score is not None
        return self.score(self._outputs(collate))

    def _outputs(self, collate: Padded) -> list[Any]:
        """Of each test feature: one array, or the arrays of starts and ends."""
        import torch

        self.model.eval()
        found: list[Any] = []
        with torch.no_grad():
            for at in range(0, len(self.test), 32):
                batch = collate(self.test[at : at + 32])
                said = self.model(**{name: value for name, value in batch.items() if name not in TARGETS})
                if hasattr(said, "start_logits"):
                    found += zip(said.start_logits.numpy(), said.end_logits.numpy(), strict=True)
                else:
                    found += list(said.logits.float().numpy())
        return found


TARGETS = ("labels", "start_positions", "end_positions")


@dataclass(frozen=True)
class Padded:
    """Features as tensors, as long as the longest of them, or always `length`."""

    pads: dict[str, int]
    length: int | None

    def __call__(self, features: list[Feature]) -> dict[str, Any]:
        import torch

        longest = self.length or max(len(one["input_ids"]) for one in features)
        made = {}
        for name in features[0]:
            values = [one[name] for one in features]
            if name in self.pads and isinstance(values[0], list):
                values = [value + [self.pads[name]] * (longest - len(value)) for value in values]
            if name != "length":
                made[name] = torch.tensor(values)
        return made


# ---- the races


def race_of(task: str, name: str, data: Path, *, train: int, test: int, seed: int) -> Race:
    """The race of a task on a set: `train` records drawn by the seed, the first `test` of the test side (0: all)."""
    import sets_en
    import sets_zh

    sides = {**sets_en.READERS, **sets_zh.READERS}[name](data)
    order = np.random.default_rng(seed).permutation(len(sides.train))[:train]
    rows = [sides.train[i] for i in order]
    made: Race = RACES[task](rows, sides.test[: test or None])
    return made


def _table(rows: Sequence[Row]) -> Any:
    """Rows as records, as a JSONL source would read them."""
    from burnish.core.records import Record, to_table

    def record(row: Row) -> Record:
        known = {name: value for name, value in row.items() if name in FIELDS}
        return Record(**known, meta={name: value for name, value in row.items() if name not in FIELDS})

    return to_table(map(record, rows))


FIELDS = ("text", "text_b", "label", "spans", "relations", "answer", "messages", "value", "output", "group", "id")


def _labels(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(sorted({row["label"] for row in rows}))


def _spec(type_: str, labels: Sequence[str] = (), languages: Sequence[str] = ("en",)) -> Any:
    from burnish.core.stage import TaskSpec

    return TaskSpec(type=type_, labels=tuple(labels), languages=tuple(languages))


def classification(train: list[Row], test: list[Row]) -> Race:
    return Race(_spec("classification", _labels(train + test)), _table(train), _table(test), _sequence_peer)


def pairs(train: list[Row], test: list[Row]) -> Race:
    spec = _spec("classification", _labels(train + test), ["zh"])
    return Race(spec, _table(train), _table(test), _sequence_peer)


def tagging(train: list[Row], test: list[Row]) -> Race:
    labels = sorted({span["label"] for row in train + test for span in row["spans"]})
    return Race(_spec("tagging", labels), _table(train), _table(test), _token_peer)


def question_answering(train: list[Row], test: list[Row]) -> Race:
    made = Race(_spec("question_answering"), _table(train), _table(test), _answer_peer)
    made.max_length = made.padded = 384
    return made


def causal(train: list[Row], test: list[Row]) -> Race:
    made = Race(_spec("chat"), _table(train), _table(test), _causal_peer)
    made.lower = True
    return made


RACES: dict[str, Callable[[list[Row], list[Row]], Race]] = {
    "classification": classification,
    "pairs": pairs,
    "tagging": tagging,
    "question_answering": question_answering,
    "causal": causal,
}


# ---- scoring


def figure_of(task: Any, table: Any, answers: Any) -> float:
    """The task's chief figure of answers to all records of a table."""
    sums = task.tally(table, answers).sum(axis=0)
    return float(task.figures(sums)[task.figure])


def _scored(race: Race, said: Sequence[Row], probabilities: np.ndarray | None = None) -> float:
    """What others predicted, as target fields of each test record."""
    from burnish.tasks.base import Answers

    task = race.task
    rows = race.test.to_pylist()
    # meta may hold other answers that are right; here the row is what was said
    items = [task.expected({**row, "meta": None, **one}) for row, one in zip(rows, said, strict=True)]
    return figure_of(task, race.test, Answers(items, probabilities))


# ---- the others


def _sequence_peer(race: Race, folder: str, seed: int) -> Peer:
    """Texts or pairs under AutoModelForSequenceClassification."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    labels = list(race.spec.labels)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(labels))
    sides = []
    for table in (race.train, race.test):
        given = [table["text"].to_pylist()]
        if table["text_b"].null_count < len(table):
            given.append(table["text_b"].to_pylist())
        made = tokenizer(*given, truncation=True, max_length=race.max_length)
        targets = [labels.index(label) for label in table["label"].to_pylist()]
        sides.append(_features(made, labels=targets))

    def score(outputs: list[np.ndarray]) -> float:
        logits = np.stack(outputs).astype(np.float64)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        said = [{"label": labels[at]} for at in logits.argmax(1)]
        return _scored(race, said, shares / shares.sum(1, keepdims=True))

    return Peer(model, tokenizer, *sides, _pads(tokenizer), score)


def _features(made: Any, **more: Sequence[Any]) -> list[Feature]:
    """One dict a text, out of what a tokenizer gave."""
    names = [name for name in made if name in ("input_ids", "attention_mask", "token_type_ids")]
    columns = {name: made[name] for name in names} | more
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _pads(tokenizer: Any, **more: int) -> dict[str, int]:
    return {"input_ids": tokenizer.pad_token_id or 0, "attention_mask": 0, "token_type_ids": 0, **more}


def _token_peer(race: Race, folder: str, seed: int) -> Peer:
    """Words with BIO tags under AutoModelForTokenClassification, the first piece of each word labelled."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    tags = ["O", *(f"{prefix}-{label}" for label in race.spec.labels for prefix in "BI")]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForTokenClassification.from_pretrained(folder, num_labels=len(tags))
    sides, words = [], []
    for table in (race.train, race.test):
        read = [_words(row["text"], row["spans"]) for row in table.select(["text", "spans"]).to_pylist()]
        words.append(read)
        made = tokenizer(
            [[word for word, _, _ in one] for one in read],
            is_split_into_words=True,
            truncation=True,
            max_length=race.max_length,
        )
        targets = []
        for at, one in enumerate(read):
            numbers = made.word_ids(at)
            first = [number is not None and number != before for before, number in zip([None, *numbers], numbers)]  # noqa: B905
            targets.append([tags.index(one[n][2]) if new else IGNORED for n, new in zip(numbers, first, strict=True)])
        sides.append(_features(made, labels=targets))

    def score(outputs: list[np.ndarray]) -> float:
        from burnish.formats.conll import spans

        said = []
        for read, feature, logits in zip(words[1], sides[1], outputs, strict=True):
            kept = [i for i, target in enumerate(feature["labels"]) if target != IGNORED]
            read = read[: len(kept)]  # words behind max_length are not answered
            found = [tags[at] for at in logits[kept].argmax(1)]
            said.append({"spans": spans(found, [place for _, place, _ in read])})
        return _scored(race, said)

    return Peer(model, tokenizer, *sides, _pads(tokenizer, labels=IGNORED), score)


def _words(text: str, spans: list[dict[str, Any]]) -> list[tuple[str, tuple[int, int], str]]:
    """(word, place, BIO tag) between blanks."""
    made, at = [], 0
    for word in text.split(" "):
        start, end = at, at + len(word)
        at = end + 1
        if not word:
            continue
        over = next((one for one in spans if one["start"] < end and start < one["end"]), None)
        tag = "O" if over is None else f"{'B' if start <= over['start'] else 'I'}-{over['label']}"
        made.append((word, (start, end), tag))
    return made


STRIDE, LONGEST_ANSWER = 128, 30


def _answer_peer(race: Race, folder: str, seed: int) -> Peer:
    """Question and context in windows under AutoModelForQuestionAnswering; [CLS] says that there is no answer."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    sides = [_windows(table, tokenizer, race.max_length) for table in (race.train, race.test)]
    features = [[{k: v for k, v in one.items() if k not in ("row", "places")} for one in side] for side in sides]
    contexts = race.test["text_b"].to_pylist()

    def score(outputs: list[tuple[np.ndarray, np.ndarray]]) -> float:
        best: dict[int, tuple[float, int, int]] = {}
        nothing: dict[int, float] = {}
        for window, (starts, ends) in zip(sides[1], outputs, strict=True):
            row, places = window["row"], window["places"]
            nothing[row] = min(nothing.get(row, np.inf), float(starts[0] + ends[0]))
            inside = np.flatnonzero([place is not None for place in places])
            length = len(places)
            both = starts[:length, None] + ends[None, :length]
            allowed = np.zeros_like(both, dtype=bool)
            allowed[np.ix_(inside, inside)] = True
            allowed &= np.triu(np.ones_like(allowed)) & ~np.triu(np.ones_like(allowed), LONGEST_ANSWER)
            both = np.where(allowed, both, -np.inf)
            first, last = np.unravel_index(int(both.argmax()), both.shape)
            found = float(both[first, last])
            if np.isfinite(found) and found > best.get(row, (-np.inf, 0, 0))[0]:
                best[row] = (found, places[first][0], places[last][1])
        said = []
        for row, context in enumerate(contexts):
            value, start, end = best.get(row, (-np.inf, 0, 0))
            given = (
                {"text": context[start:end], "start": start} if value > nothing[row] else {"text": "", "start": None}
            )
            said.append({"answer": given})
        return _scored(race, said)

    return Peer(model, tokenizer, *features, _pads(tokenizer), score)


def _windows(table: Any, tokenizer: Any, max_length: int) -> list[Feature]:
    """Windows with start_positions and end_positions, as run_qa.py of transformers makes them."""
    rows = table.select(["text", "text_b", "answer"]).to_pylist()
    made = tokenizer(
        [row["text"].strip() for row in rows],
        [row["text_b"] for row in rows],
        truncation="only_second",
        max_length=max_length,
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    features = _features(made)
    for at, feature in enumerate(features):
        row = int(made["overflow_to_sample_mapping"][at])
        parts = made.sequence_ids(at)
        places = [place if part == 1 else None for place, part in zip(made["offset_mapping"][at], parts, strict=True)]
        inside = [i for i, place in enumerate(places) if place is not None]
        said = rows[row]["answer"]
        start = said["start"] if said["text"] else None
        first = last = 0  # the first token says: no answer in here
        if start is not None and places[inside[0]][0] <= start and start + len(said["text"]) <= places[inside[-1]][1]:
            first = max(i for i in inside if places[i][0] <= start)
            last = min(i for i in inside if places[i][1] >= start + len(said["text"]))
        feature |= {"start_positions": first, "end_positions": last, "row": row, "places": places}
    return features


LORA_RATES = {"plain": 2e-4, "trainer": 2e-4, "trainer-bf16": 2e-4}  # as in peft's examples; full tuning wants less
RANK = 8  # of the adapters, ours and theirs; alpha is twice the rank, on every linear layer


def _causal_peer(race: Race, folder: str, seed: int) -> Peer:
    """Conversations under AutoModelForCausalLM with adapters of peft; the loss is on the answers alone."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    settings = LoraConfig(
        task_type="CAUSAL_LM", r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules="all-linear"
    )
    model = get_peft_model(network, settings)
    sides = [_chat_features(table, tokenizer, race.max_length) for table in (race.train, race.test)]
    pads = _pads(tokenizer, labels=IGNORED)
    return Peer(model, tokenizer, *sides, pads, judge=lambda trained: target_loss(trained, sides[1]), rates=LORA_RATES)


def _chat_features(table: Any, tokenizer: Any, max_length: int) -> list[Feature]:
    """Token ids of a conversation, and the same as labels where an assistant's turn and its end stand."""
    features = []
    for turns in table["messages"].to_pylist():
        ids: list[int] = []
        labels: list[int] = []
        for count, turn in enumerate(turns, 1):
            if turn["role"] != "assistant":
                continue
            # the template of a conversation begins with the template of its beginning: what is new is the turn
            asked = _rendered(tokenizer, turns[: count - 1], ask=True)
            whole = _rendered(tokenizer, turns[:count], ask=False)
            assert whole.startswith(asked), "the chat template rewrites what was said before"
            before = tokenizer(asked, add_special_tokens=False)["input_ids"]
            answer = tokenizer(whole[len(asked) :].rstrip("\n"), add_special_tokens=False)["input_ids"]
            labels += [IGNORED] * (len(before) - len(labels)) + answer
            ids = before + answer
            labels = labels[: len(ids)]
        if len(ids) <= max_length and any(label != IGNORED for label in labels):
            features.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
    return features


def _rendered(tokenizer: Any, turns: list[dict[str, str]], *, ask: bool) -> str:
    said: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=ask)
    return said


def target_loss(network: Any, features: list[Feature]) -> float:
    """Mean negative log likelihood of the target tokens, in nats."""
    import torch
    from torch.nn import functional

    network.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for at in range(0, len(features), 16):
            part = features[at : at + 16]
            longest = max(len(one["input_ids"]) for one in part)
            fill = {"input_ids": 0, "attention_mask": 0, "labels": IGNORED}
            ids, mask, labels = (
                torch.tensor([one[name] + [pad] * (longest - len(one[name])) for one in part])
                for name, pad in fill.items()
            )
            logits = network(input_ids=ids, attention_mask=mask).logits.float()[:, :-1]
            targets = labels[:, 1:]
            total += float(functional.cross_entropy(logits.transpose(1, 2), targets, reduction="sum"))
            count += int((targets != IGNORED).sum())
    return total / count
