"""MovieLens-100k as ranking: which film does a user watch next, told by the titles of those before.

    python benchmarks/movielens.py prepare OUT [--data ../shared/data/movielens-100k] [--users N]
    burnish run OUT/burnish.yaml

Leave-one-out in time, as in He et al. 2017 (NCF): a user's last film is the test, ranked among 100 films the user never
rated; everything before it is training. A query is the titles of the 10 films before, newest first; its candidates are
titles. The data's licence forbids passing it on: what is written here stays with you.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HISTORY = 10  # titles in a query
TAUGHT = 4  # films of each user, before the last one, that are asked for in training
SAMPLED = 100  # negatives of a test query, as in NCF
NEGATIVES = 4  # of a training query, as in NCF

SPEC = """\
burnish: 1
name: movielens
seed: 0
task: {{type: ranking, model: {model}, loss: listwise, languages: [en]}}
sources:
  - {{use: jsonl, path: train.jsonl, fields: {{value: value}}, licence: GroupLens}}
split: {{use: stratified, test: 0, validation: 0.1, group: meta.user}}
train: {{use: tune, max_length: 128}}
evaluate: {{use: report, data: test.jsonl, fields: {{value: value}}}}
"""


@dataclass(frozen=True)
class Rating:
    user: str
    film: str
    time: int


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["prepare"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "movielens-100k")
    parser.add_argument("--users", type=int, help="the first so many users")
    parser.add_argument("--model", choices=["cross-encoder", "two-tower"], default="cross-encoder")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    counts = prepare(args.data, args.out, users=args.users, seed=args.seed)
    (args.out / "burnish.yaml").write_text(SPEC.format(model=args.model), "utf-8")
    print(", ".join(f"{count:,} {name}" for name, count in counts.items()), f"-> {args.out}")
    figures = popularity(args.data, args.out)
    print("popularity over all earlier ratings:", ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))


def popularity(data: Path, out: Path) -> dict[str, float]:
    """What it is worth to rank test candidates by how many users rated them before their own last film."""
    from burnish.measures import ranking

    titles = read_titles(data / "u.item")
    rated = by_user(read_ratings(data / "u.data.xz"), titles)
    counts = Counter(titles[film] for films in rated.values() for film in films[:-1])
    rows = [json.loads(line) for line in (out / "test.jsonl").read_text("utf-8").splitlines()]
    order = ranking.ranked(
        [counts[row["candidate"]] for row in rows], [row["value"] for row in rows], [row["group"] for row in rows]
    )
    return {
        "hr@10": float(ranking.hit_rate(order, 10).mean()),
        "ndcg@10": float(ranking.ndcg(order, 10).mean()),
        "mrr@10": float(ranking.reciprocal_rank(order, 10).mean()),
    }


def prepare(data: Path, out: Path, *, users: int | None = None, seed: int = 0) -> dict[str, int]:
    """Write train.jsonl and test.jsonl; return how many queries each has."""
    titles = read_titles(data / "u.item")
    rated = by_user(read_ratings(data / "u.data.xz"), titles)
    everything = sorted(titles)
    out.mkdir(parents=True, exist_ok=True)
    counts = {"training queries": 0, "test queries": 0}
    with (
        open(out / "train.jsonl", "w", encoding="utf-8") as train,
        open(out / "test.jsonl", "w", encoding="utf-8") as test,
    ):
        for user in sorted(rated, key=int)[:users]:
            films = rated[user]
            random_of_user = random.Random(f"{seed}/{user}")
            unseen = sorted(set(everything) - set(films))
            for place in range(max(1, len(films) - 1 - TAUGHT), len(films)):
                last = place == len(films) - 1
                others = random_of_user.sample(unseen, SAMPLED if last else NEGATIVES)
                for row in asked(user, films, place, others, titles, random_of_user):
                    (test if last else train).write(json.dumps(row, ensure_ascii=False) + "\n")
                counts["test queries" if last else "training queries"] += 1
    return counts


def asked(
    user: str, films: list[str], place: int, others: list[str], titles: dict[str, str], order: random.Random
) -> Iterator[dict[str, object]]:
    """One query's rows, in an order that says nothing."""
    query = "; ".join(titles[film] for film in reversed(films[max(0, place - HISTORY) : place]))
    rows = [(films[place], 1), *((film, 0) for film in others)]
    order.shuffle(rows)
    for film, value in rows:
        yield {"query": query, "candidate": titles[film], "value": value, "group": f"u{user}@{place}", "user": user}


def read_ratings(path: Path) -> list[Rating]:
    """u.data: user, film, rating, seconds; every rating counts as seen, whatever its stars (implicit feedback)."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        parts = (line.split("\t") for line in lines)
        return [Rating(user, film, int(time)) for user, film, _, time in parts]


def by_user(ratings: list[Rating], titles: Mapping[str, str]) -> dict[str, list[str]]:
    """The films of each user in order of time; of equal times, by number. A film without a title (267) is left out."""
    found: dict[str, list[Rating]] = {}
    for one in ratings:
        if one.film in titles:
            found.setdefault(one.user, []).append(one)
    return {user: [one.film for one in sorted(own, key=lambda r: (r.time, int(r.film)))] for user, own in found.items()}


def read_titles(path: Path) -> dict[str, str]:
    """u.item: number -> title, "Usual Suspects, The (1995)" as "The Usual Suspects (1995)"."""
    titles = {}
    for line in path.read_text("latin-1").strip().split("\n"):
        number, title = line.split("|")[:2]
        name, _, year = title.rpartition(" (")
        for article in (", The", ", A", ", An"):
            if name.endswith(article):
                name = f"{article[2:]} {name.removesuffix(article)}"
        titles[number] = f"{name} ({year}" if name else title
    return titles


if __name__ == "__main__":
    main()
