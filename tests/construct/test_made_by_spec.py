"""Makers of texts and rankings as a spec names them, through the command line, up to the split."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"


def run(folder: Path, spec: str, *more: str) -> Path:
    (folder / "burnish.yaml").write_text(spec, "utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "burnish.cli", "run", "burnish.yaml", *more]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "made"


def lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


HEAD = "burnish: 1\nname: made\n"


def test_a_log_becomes_lists_that_leave_one_out(tmp_path: Path) -> None:
    lines(tmp_path / "items.jsonl", [{"id": f"s{at}", "text": f"商品 {at} in the shop"} for at in range(20)])
    rows = [f"u{user},s{(user * 3 + at) % 20},{1_700_000_000 + at}" for user in range(4) for at in range(6)]
    (tmp_path / "log.csv").write_text("\n".join(["who,sku,when", *rows]) + "\n", "utf-8")
    spec = """\
task: {type: ranking, languages: [en, zh]}
sources: [{use: jsonl, path: items.jsonl}]
construct: [{use: behaviour, log: log.csv, fields: {user: who, item: sku, time: when}, query: history, num_random: 1, judged: 5}]
split: {use: leave_one_out}
"""
    made = run(tmp_path, HEAD + spec, "--to", "split")
    test, train = (pq.read_table(made / "split" / f"{side}.parquet").to_pylist() for side in ("test", "train"))
    assert len(test) == 4 * 6 and sum(row["value"] for row in test) == 4 and len(train) == 4 * 3 * 2
    users = [json.loads(row["meta"])["user"] for row in test if row["value"]]
    assert sorted(users) == ["u0", "u1", "u2", "u3"] and all(row["text"] for row in test)
    newest = {user: max(row["time"] for row in train if json.loads(row["meta"])["user"] == user) for user in users}
    assert all(row["time"] > newest[json.loads(row["meta"])["user"]] for row in test)


def test_titles_become_summaries_and_pairs_are_filtered(tmp_path: Path) -> None:
    words = ["harbour", "bridge", "school", "museum", "forest", "market", "airport", "library", "theatre", "stadium"]
    body = "The {0} of the old town will be rebuilt after the flood. Workers begin next week, said the office of the {0}. It takes a year and the {0} stays open. People who live beside it hope that the noise of the {0} ends early."
    lines(
        tmp_path / "news.jsonl",
        [{"title": f"Old town's {word} will be rebuilt", "text": body.format(word)} for word in words],
    )
    spec = """\
task: {type: summarization, languages: [en]}
sources: [{use: jsonl, path: news.jsonl}]
construct: [{use: summaries, way: title, most_repeats: 1}, faithful]
"""
    made = run(tmp_path, HEAD + spec, "--to", "construct")
    rows = pq.read_table(made / "construct" / "records.parquet").to_pylist()
    kept = [row for row in rows if row["keep"]]
    assert len(rows) == 20 and [row["output"] for row in kept] == [
        f"Old town's {word} will be rebuilt" for word in words
    ]
    facts = json.loads((made / "construct" / "labellers.json").read_text("utf-8"))
    assert facts["makers"][0]["made"] == 10 and facts["filters"][0]["seen"] == 10
    pairs = [{"source": "Open {name}", "target": "打开 {name}"}, {"source": "Close {name}", "target": "关闭"}]
    lines(tmp_path / "pairs.jsonl", pairs)
    spec = """\
task: {type: translation, languages: [en, zh]}
sources: [{use: jsonl, path: pairs.jsonl}]
construct: [pair_filter]
"""
    made = run(tmp_path, HEAD + spec, "--to", "construct")
    assert [row["keep"] for row in pq.read_table(made / "construct" / "records.parquet").to_pylist()] == [True, False]


@pytest.mark.weights
@pytest.mark.shared
def test_real_sentences_are_found_again_in_merged_documents(tmp_path: Path) -> None:
    source = SHARED / "tatoeba-en-zh" / "cmn.txt.xz"
    if not source.exists():
        pytest.skip("no ../shared/data/tatoeba-en-zh")
    import lzma

    with lzma.open(source, "rt", encoding="utf-8") as file:
        rows = [line.split("\t")[:2] for line in file][4000:24000:400]
    pairs = list({zh: (en, zh) for en, zh in rows}.values())[:40]
    lines(tmp_path / "d.jsonl", [
        {"group": "1", "language": "en", "text": " ".join(en for en, _ in pairs)},
        {"group": "1", "language": "zh", "text": "".join(zh for at, (_, zh) in enumerate(pairs) if at % 5)},
    ])  # fmt: skip
    spec = """\
task: {type: translation, languages: [en, zh]}
sources: [{use: jsonl, path: d.jsonl}]
construct: [align]
"""
    made = run(tmp_path, HEAD + spec, "--to", "construct")
    found = {(row["text"], row["output"]) for row in pq.read_table(made / "construct" / "records.parquet").to_pylist()}
    wanted = {pair for at, pair in enumerate(pairs) if at % 5}
    assert len(found & wanted) >= 0.8 * len(wanted)
