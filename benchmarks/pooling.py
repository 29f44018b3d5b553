"""Stock first-token head against the mean head: accuracy at few and many examples (docs/decisions/pooling.md).

python benchmarks/pooling.py --backbone FOLDER --set trec --data ../shared/data --counts 60,1000
"""

from __future__ import annotations

import argparse
import lzma
from pathlib import Path

import numpy as np
import torch

from train import read_set


def sides_of(name: str, data: Path) -> tuple[tuple[list[str], list[int]], tuple[list[str], list[int]]]:
    if name != "chnsenticorp":
        return read_set(name, data)
    out = []
    folder = data / "chnsenticorp-zh"
    for text in (
        lzma.decompress((folder / "train.tsv.xz").read_bytes()).decode(),
        (folder / "test.tsv").read_text("utf-8"),
    ):
        rows = [line.split("\t", 1) for line in text.splitlines()[1:]]
        out.append(([row[1] for row in rows], [int(row[0]) for row in rows]))
    return out[0], out[1]


def main() -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from burnish.core.progress import Silent
    from burnish.nn import batches, heads, loop, one_class
    from burnish.nn.models import Head

    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--set", required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--counts", default="60,1000")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--heads", default="stock,mean,centred")
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.backbone)
    train, test = sides_of(args.set, args.data)
    labels = [str(i) for i in range(max(test[1] + train[1]) + 1)]
    pick = np.random.default_rng(0).permutation(len(test[0]))[:500]
    encoded = [
        batches.encode(side[0], tokenizer, max_length=args.max_length).with_targets(side[1]) for side in (train, test)
    ]
    held_out = encoded[1].take(pick)
    for count in map(int, args.counts.split(",")):
        for head in args.heads.split(","):
            found = []
            for seed in range(args.seeds):
                few = encoded[0].take(np.random.default_rng(seed).permutation(len(encoded[0]))[:count])
                if head == "stock":
                    torch.manual_seed(seed)
                    model = AutoModelForSequenceClassification.from_pretrained(args.backbone, num_labels=len(labels))
                else:
                    model = heads.build(args.backbone, Head("sequence", tuple(labels)), seed=seed)
                if head == "centred":
                    with torch.no_grad():
                        batch = batches.make_batch(few, np.arange(min(64, count)), pad_token=0)
                        model.centre(model.eval().pooled(batch.ids_BL, batch.mask_BL).mean(0))
                history = loop.fit(
                    model, few, None, settings=loop.Training(), scratch=None, progress=Silent(), seed=seed
                )
                found.append(one_class.score(model, held_out)[1])
            shown = ", ".join(f"{accuracy:.3f}" for accuracy in found)
            print(f"{args.set} {count} {head}: {shown} ({history.resolved})", flush=True)


if __name__ == "__main__":
    main()
