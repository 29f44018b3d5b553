"""Tagging side by side: burnish and spaCy learn the same sentences of CoNLL-2003, and seqeval scores what both say.

    python benchmarks/tagging.py --data ../shared/data --train 3000 --epochs 3 --backbone minilm

Every contestant runs in a process of its own. CPU-seconds are of training alone, weights loaded and texts tokenised
before. Scores are burnish's own (strict spans of characters) beside seqeval's on one tag a character, which says the
same of spans in any tokens: they must agree to the last digit. Data stays where it is. Results: benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LABELS = ("PER", "ORG", "LOC", "MISC")
Row = tuple[list[str], list[str]]


def sentences(file: Path) -> list[Row]:
    """Tokens and tags of every sentence."""
    made: list[Row] = []
    for block in lzma.decompress(file.read_bytes()).decode().split("\n\n"):
        lines = [line.split() for line in block.splitlines() if line and not line.startswith("-DOCSTART-")]
        if lines:
            made.append(([line[0] for line in lines], [line[-1] for line in lines]))
    return made


def sides(args: argparse.Namespace) -> tuple[list[Row], list[Row], list[Row]]:
    """Training (a random choice where not all), validation, test."""
    train, validation, test = (
        sentences(args.data / f"conll2003-en/eng.{name}.xz") for name in ("train", "testa", "testb")
    )
    if args.train and args.train < len(train):
        train = random.Random(0).sample(train, args.train)
    return train, validation[: args.validation], test


def table_of(rows: list[Row]) -> Any:
    """As records; tokens joined by blanks."""
    from burnish.core.records import Record, to_table
    from burnish.formats.conll import joined, spans

    made = []
    for tokens, tags in rows:
        text, places = joined(tokens, "blank")
        made.append(Record(text=text, spans=spans(tags, places)))
    return to_table(made)


def burnish(args: argparse.Namespace) -> dict[str, Any]:
    from transformers import AutoTokenizer

    from burnish.core.progress import Silent
    from burnish.nn import models
    from burnish.nn.backbones import resolve
    from burnish.nn.loop import fit
    from burnish.nn.predict import predict_outputs
    from burnish.nn.training import Training

    task = tagger(args)
    folder = (
        Path(args.backbone)
        if Path(args.backbone).is_dir()
        else resolve(args.backbone, languages=("en",), progress=Silent())
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    train, validation, test = (table_of(rows) for rows in sides(args))
    head = task.head()
    model = models.build(folder, head, seed=args.seed)
    examples = task.examples(train, tokenizer, max_length=128)
    began, cpu = time.perf_counter(), time.process_time()
    rate = args.rate or "auto"
    settings = Training(
        epochs=args.epochs or "auto",
        learning_rate=rate,
        batch_tokens=args.batch_tokens or "auto",
        precision=args.precision,
    )
    history = fit(
        model,
        examples,
        None,
        settings=settings,
        scratch=None,
        progress=Silent(),
        seed=args.seed,
        objective=task.objective(),
    )
    spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    said = {}
    card = models.facts(model)
    for name, side in (("validation", validation), ("test", test)):
        encoded = task.encode(task.inputs(side), tokenizer, max_length=128)
        outputs = predict_outputs(model, encoded, head)
        if name == "validation":
            card |= task.calibrate(side, encoded, outputs)
        said[name] = [
            task.decode(task.inputs(side), encoded, outputs, card | more).items
            for more in ({}, {"whole_words": not card["whole_words"]})
        ]
    told = {name: card[name] for name in ("whole_words", "temperature", "threshold", "alignment") if name in card}
    return {
        **spent,
        **judged(args, said["test"][0]),
        "card": told,
        "settings": history.resolved,
        "other_borders": judged(args, said["test"][1])["entity_f1"],
    }


def tagger(args: argparse.Namespace) -> Any:
    from burnish.core.stage import TaskSpec
    from burnish.core.tasktypes import open_task

    options = {"scheme": args.scheme, "decoding": args.decoding, "nested": args.nested}
    return open_task(TaskSpec("tagging", LABELS, {}, ("en",), options))


def spacy(args: argparse.Namespace) -> dict[str, Any]:
    """A blank pipeline with its own tok2vec and ner, as its quickstart configures it for a CPU."""
    import spacy as library
    from spacy.tokens import Doc
    from spacy.training import Example
    from spacy.util import compounding, minibatch

    nlp = library.blank("en")
    nlp.add_pipe("ner")
    train, _, test = sides(args)

    def doc(tokens: list[str]) -> Doc:
        return Doc(nlp.vocab, words=tokens, spaces=[True] * (len(tokens) - 1) + [False])

    tables = table_of(train).select(["spans"]).to_pylist()
    examples = [
        Example.from_dict(doc(row[0]), {"entities": [(s["start"], s["end"], s["label"]) for s in one["spans"]]})
        for row, one in zip(train, tables, strict=True)
    ]
    library.util.fix_random_seed(args.seed)
    optimizer = nlp.initialize(lambda: examples)
    order = random.Random(args.seed)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(args.spacy_epochs):
        order.shuffle(examples)
        for batch in minibatch(examples, size=compounding(100, 1000, 1.001)):
            nlp.update(list(batch), sgd=optimizer, drop=0.1)
    spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    answers = []
    for found in nlp.pipe([doc(row[0]) for row in test]):
        answers.append(
            {
                "spans": [
                    {"start": e.start_char, "end": e.end_char, "label": e.label_, "text": e.text} for e in found.ents
                ]
            }
        )
    return {**spent, **judged(args, answers), "settings": {"epochs": args.spacy_epochs}}


def baseline(args: argparse.Namespace) -> dict[str, Any]:
    train, validation, test = (table_of(rows) for rows in sides(args))
    began = time.process_time()
    *_, (_, answers, _) = tagger(args).baselines(train, validation, test, seed=0)
    return {
        "seconds": time.process_time() - began,
        "cpu_seconds": time.process_time() - began,
        **judged(args, answers.items),
    }


def judged(args: argparse.Namespace, answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Our figures of the test side, and seqeval's of the same spans."""
    from seqeval.metrics import f1_score, precision_score, recall_score

    from burnish.measures.entities import tags_of_spans
    from burnish.tasks.base import Answers

    task, test = tagger(args), table_of(sides(args)[2])
    figures = {name: float(value) for name, value in task.figures(task.tally(test, Answers(answers)).sum(0)).items()}
    tags = [
        [tags_of_spans(spans, len(text)) for text, spans in zip(test["text"].to_pylist(), side, strict=True)]
        for side in (test["spans"].to_pylist(), [one["spans"] for one in answers])
    ]
    theirs = {
        f"entity_{name}": float(of(*tags))
        for name, of in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score))
    }
    same = all(figures[name] == value for name, value in theirs.items())
    details = task.details(test, Answers(answers))
    return {
        **figures,
        "all_o": details["tokens"]["all_o"],
        "seqeval": theirs,
        "seqeval_same": same,
        "report": details["classification_report"],
        "span_errors": details["span_errors"],
    }


CONTESTANTS = {"burnish": burnish, "spacy": spacy, "baseline": baseline}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--train", type=int, default=3000, help="sentences; 0 for all")
    parser.add_argument("--validation", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=3, help="0 is auto")
    parser.add_argument("--rate", type=float, default=0.0, help="0 is auto")
    parser.add_argument("--batch-tokens", type=int, default=0, help="0 is auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--backbone", default="minilm")
    parser.add_argument("--scheme", default="BIO")
    parser.add_argument("--decoding", default="constrained")
    parser.add_argument("--nested", action="store_true")
    parser.add_argument("--spacy-epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(CONTESTANTS))
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()
    if args.only:
        made = CONTESTANTS[args.only](args)
        made["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(made))
        return
    rows = {}
    for name in CONTESTANTS:
        done = subprocess.run([sys.executable, *sys.argv, "--only", name], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
        rows[name] = json.loads(done.stdout.splitlines()[-1])
        told = {
            key: rows[name][key] for key in ("entity_f1", "token_micro_f1", "seqeval_same", "cpu_seconds", "peak_mib")
        }
        print(name, told, file=sys.stderr, flush=True)
    text = shown(args, rows)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "tagging.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    (args.results / "tagging.md").write_text(text, "utf-8")
    print(text)


def shown(args: argparse.Namespace, rows: dict[str, Any]) -> str:
    names = {
        "burnish": f"burnish, {Path(args.backbone).name}, {args.epochs or 'auto'} epochs",
        "spacy": f"spaCy, blank pipeline with its own tok2vec, {args.spacy_epochs} epochs",
        "baseline": "names of the training side, found again",
    }
    command = f"python benchmarks/tagging.py --data ../shared/data --train {args.train} --epochs {args.epochs} --backbone {Path(args.backbone).name}"
    lines = [
        "# Tagging: CoNLL-2003, test side (3,453 sentences)", "",
        f"`{command}`: {args.train or 14041:,} training sentences, one seed.", "",
        "| | entity F1 | precision | recall | token micro F1 | without O | same as seqeval | training CPU-s | peak MiB |",
        "|---|--:|--:|--:|--:|--:|---|--:|--:|",
    ]  # fmt: skip
    for name, row in rows.items():
        shares = (
            row[key]
            for key in ("entity_f1", "entity_precision", "entity_recall", "token_micro_f1", "token_micro_f1_without_o")
        )
        cells = [f"{100 * one:.2f}" for one in shares]
        lines.append(
            f"| {names[name]} | {' | '.join(cells)} | {'to the last digit' if row['seqeval_same'] else 'NO'} | {row['cpu_seconds']:.0f} | {row['peak_mib']:.0f} |"
        )
    lines += [
        "",
        f"Saying O everywhere: entity F1 0, token micro F1 {100 * rows['burnish']['all_o']:.2f}.",
        "",
        "```",
        rows["burnish"]["report"],
        "```",
    ]
    lines += [
        "",
        f"burnish: {json.dumps(rows['burnish']['settings'])}, {json.dumps(rows['burnish']['card'])}; with borders inside words decided the other way entity F1 {100 * rows['burnish']['other_borders']:.2f}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
