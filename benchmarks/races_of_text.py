"""Masked and causal pre-training side by side: the same windows of the same tokens, the same first weights, one figure.

All contestants read windows of 128 packed tokens, so nothing is padded, and are scored by the held-out loss of burnish's
objective with the same masks. The plain loop and the Trainer use transformers' own collator, which draws masks anew in
every step as burnish does. All take the same number of windows a step and the same peak rate.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LENGTH, WINDOWS, RATE = 128, 16, 1e-3  # tokens of a window, windows a step, peak learning rate
KINDS = {"masked": "encoder", "causal-pretraining": "decoder"}


def texts(data: Path) -> list[str]:
    """Articles of WikiText-2's validation and test files, in their order."""
    import lzma
    import re

    parts = []
    for side in ("valid", "test"):
        text = lzma.decompress((data / f"wikitext2-valtest-en/{side}.txt.xz").read_bytes()).decode()
        parts += [one for one in re.split(r"\n = [^=].*\n", text) if len(one) > 200]
    return parts


def contest(args: argparse.Namespace, figures: Any, clock: Any) -> dict[str, Any]:
    """One contestant on `args.train` windows, `args.epochs` times. figures, clock: of train.py."""
    import torch
    from transformers import AutoTokenizer

    from burnish.nn import architectures, corpus, language_models, pieces
    from burnish.nn.pretraining.base import chosen

    kind = KINDS[args.task]
    documents = texts(args.data)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        style = "wordpiece" if kind == "encoder" else "bpe"
        tokenizer = pieces.learn(
            documents, kind=style, vocabulary=8000, architecture=kind, lowercase=kind == "encoder", positions=LENGTH
        )
        config = architectures.config(
            kind, args.backbone, vocabulary=len(tokenizer), positions=LENGTH, tokenizer=tokenizer
        )
        start = architectures.make(folder / "start", config, tokenizer, seed=args.seed)
        tokenizer = AutoTokenizer.from_pretrained(start)
        built = corpus.build(folder / "corpus", documents, tokenizer, length=LENGTH, held_out=0.1, seed=0)
        train = built.examples("train").take(np.arange(min(args.train, len(built.examples("train")))))
        held = built.examples("validation")
        objective = chosen((), kind)[0].objective(tokenizer)
        model = language_models.build(start, start="nothing", seed=args.seed)
        for part in model.modules():  # text that is read a few times wants no dropout, here and there
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        run = {"burnish": _burnish, "plain": _plain}.get(args.contestant, _trainer)
        timed, tokens = run(args, clock, model, train, objective, tokenizer)
        began = time.process_time()
        loss = language_models.held_out_loss(model, objective, held, seed=0)
        made: dict[str, Any] = figures(timed, examples=len(train) * args.epochs, tokens=tokens, score=loss)
    return made | {"judged_cpu_s": time.process_time() - began, "figure": "held-out loss", "padded": LENGTH}


def _burnish(args: Any, clock: Any, model: Any, train: Any, objective: Any, tokenizer: Any) -> tuple[Any, int]:
    from burnish.core.progress import Silent
    from burnish.nn import loop

    settings = loop.Training(epochs=args.epochs, learning_rate=RATE, batch_tokens=WINDOWS * LENGTH, patience=0)
    with clock() as timed:
        history = loop.fit(
            model, train, None, settings=settings, scratch=None, progress=Silent(), seed=args.seed, objective=objective
        )
    return timed, history.tokens


def _rows(train: Any) -> list[dict[str, Any]]:
    return [{"input_ids": train.tokens[train.window(at)].astype(np.int64).tolist()} for at in range(len(train))]


def _collator(args: Any, tokenizer: Any) -> Any:
    from transformers import DataCollatorForLanguageModeling

    return DataCollatorForLanguageModeling(tokenizer, mlm=args.task == "masked", mlm_probability=0.15)


def _plain(args: Any, clock: Any, model: Any, train: Any, objective: Any, tokenizer: Any) -> tuple[Any, int]:
    import torch

    loader = torch.utils.data.DataLoader(
        _rows(train),
        batch_size=WINDOWS,
        shuffle=True,
        collate_fn=_collator(args, tokenizer),  # type: ignore[arg-type]
    )
    optimiser = torch.optim.AdamW(model.network.parameters(), lr=RATE)
    steps = len(loader) * args.epochs
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda at: min((at + 1) / (0.1 * steps), (steps - at) / (0.9 * steps))
    )
    model.network.train()
    done = 0
    with clock() as timed:
        for _ in range(args.epochs):
            for batch in loader:
                model.network(**batch).loss.backward()
                torch.nn.utils.clip_grad_norm_(model.network.parameters(), 1.0)
                optimiser.step()
                rates.step()
                optimiser.zero_grad()
                done += 1
    return timed, int(train.offsets[-1]) * args.epochs


def _trainer(args: Any, clock: Any, model: Any, train: Any, objective: Any, tokenizer: Any) -> tuple[Any, int]:
    from datasets import Dataset, disable_progress_bars
    from transformers import Trainer, TrainingArguments

    disable_progress_bars()
    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainingArguments(
            scratch,
            num_train_epochs=args.epochs,
            per_device_train_batch_size=WINDOWS,
            learning_rate=RATE,
            warmup_steps=0.1,
            bf16=args.contestant == "trainer-bf16",
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            seed=args.seed,
        )
        trainer = Trainer(
            model=model.network,
            args=settings,
            train_dataset=Dataset.from_list(_rows(train)),
            data_collator=_collator(args, tokenizer),
        )
        with clock() as timed:
            trainer.train()
    return timed, int(train.offsets[-1]) * args.epochs
