"""The audit says the same to the byte wherever its blocks are read: at once, one by one, in processes, on a cluster that loses a node."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from mortal import SAYS, mortal

from burnish.cli import main
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import Context, TaskSpec
from burnish.quality import traits
from burnish.quality.audit import audit
from burnish.quality.bag import count_words, counted, gathered
from burnish.quality.checks import CHECKS, COLUMNS, Check, Material
from burnish.quality.clean import clean
from burnish.quality.deduplicate import deduplicate

from .conftest import reviews

FAULTS = [
    "Call me on 13800138000 or write to ada.lovelace@example.org, my name is Ada Lovelace",
    "<p>The room was fine &amp; the view</p> as well, said nobody in particular",
    "it was the best of hotels, and the worst of gardens was beside it, read more",
    "很好的酒店，我会再来的".encode().decode("latin-1"),
    "asdkjh qwlekj zxmcnb qowieu alskdj zmxncb qpwoei",
    "ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha ha",
    "Dies ist ein deutscher Satz, den in dieser Sammlung niemand erwartet hat.",
    "以下是这段话的中文翻译：一个人正在一张桌子上被看见。",
    "she said that her mother is a nurse; he said that his father is a doctor",
    "You are such an i d 1 o t, honestly",
    "",
    "n/a",
    "token sk_live_4eC39HqLyjWDarjtT1zdp7dc9XqZ in the text of a reader",
]
FOOTER = "All of our stories are there to be read on these pages every day, and on many more of them at night.\n"
SETTINGS: dict[str, Any] = {"embed": "none", "effect": "none"}


def corpus(more: list[Record] | None = None) -> Records:
    """Two languages, every fault in several blocks, copies far apart, boilerplate, times, two sources."""
    good = [*reviews(120, seed=4), *reviews(120, seed=5, language="zh")]
    texts = [one.text or "" for one in good]
    texts += [*FAULTS, *(FOOTER + text for text in texts[:30]), *texts[20:40], *(f"{text} indeed" for text in texts[40:60]), *FAULTS]  # fmt: skip
    order = np.random.default_rng(0).permutation(len(texts))
    records = [
        Record(text=texts[at], id=f"r{row}", source=("north", "south")[row % 2], licence=("MIT", "proprietary")[row % 2],
               label=("negative", "positive")[at % 2] if at % 3 else None, time=datetime(2015 + row % 8, 3, 1, tzinfo=UTC))
        for row, at in enumerate(order.tolist())
    ]  # fmt: skip
    return Records.from_rows([*records, *(more or [])])


@pytest.fixture
def beside(tmp_path: Path) -> dict[str, Any]:
    """Files that are read where the audit leads: a test set, and a list of words."""
    (tmp_path / "exam.jsonl").write_text(json.dumps({"text": reviews(120, seed=4)[7].text}), "utf-8")
    (tmp_path / "rude.txt").write_text("idiot\n", "utf-8")
    return {**SETTINGS, "against": tmp_path / "exam.jsonl", "toxic_words": tmp_path / "rude.txt"}


def made(folder: Path, records: Records, engine: dict[str, Any], settings: dict[str, Any]) -> tuple[bytes, str]:
    """The bytes of the audited records, and the numbers of the report."""
    folder.mkdir()
    task = TaskSpec(labels=("negative", "positive"), languages=("en", "zh"))
    audited = audit(records, Context(task, 0, folder, folder, folder, Silent(), engine=engine), **settings)
    audited.save(folder)
    return (folder / "records.parquet").read_bytes(), json.dumps(audited.facts, sort_keys=True)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traits, "RECORDS", 40)


def flagged(facts: str) -> set[str]:
    return {name for name, one in json.loads(facts)["audit"]["checks"].items() if one["count"]}


def test_blocks_change_nothing_and_every_kind_of_check_is_there(tmp_path: Path, beside, monkeypatch) -> None:
    whole = made(tmp_path / "whole", corpus(), {}, beside)
    assert flagged(whole[1]) >= {
        "markup", "truncation", "boilerplate", "machine_translated", "empty", "encoding", "language", "gibberish", "pii",
        "broken_fields", "toxicity", "memorisation", "exact_duplicates", "near_duplicates", "contamination", "length", "licences",
    }  # fmt: skip
    facts = json.loads(whole[1])["audit"]["checks"]
    assert {one["group"] for one in facts["groups"]["facts"]["groups"] if one["records"]} >= {"women", "men"}
    monkeypatch.setattr(traits, "RECORDS", 40)
    assert made(tmp_path / "blocks", corpus(), {}, beside) == whole


SPEC = """burnish: 1
name: shop
task: {type: classification, labels: [negative, positive], languages: [en, zh]}
sources: {use: jsonl, path: raw.jsonl}
quality: {use: audit, embed: none, effect: none}
"""


@pytest.mark.slow
def test_a_run_says_which_cores_and_makes_the_same_page(tmp_path: Path, monkeypatch, capsys, small_blocks) -> None:
    rows = [{"text": one.text, "label": one.label, "id": one.id} for one in corpus()]
    told = []
    for name, engine in (("one", ()), ("two", ("--set", "engine.processes=2"))):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        Path("raw.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
        Path("burnish.yaml").write_text(SPEC, "utf-8")
        assert main(["run", "--to", "quality", *engine]) == 0
        folder = Path("runs/shop/quality")
        told.append([(folder / file).read_bytes() for file in ("records.parquet", "report.json", "report.html")])
    assert told[0] == told[1]
    capsys.readouterr()


def test_a_worker_killed_in_the_middle_of_the_pass_changes_nothing(tmp_path: Path, monkeypatch, small_blocks) -> None:
    killer = [Record(text=f"{SAYS}{tmp_path / 'died'}", id="killer")]
    whole = made(tmp_path / "whole", corpus(killer), {}, SETTINGS)
    monkeypatch.setitem(CHECKS, "empty", Check(**{**vars(CHECKS["empty"]), "reads": (*CHECKS["empty"].reads, mortal)}))
    assert made(tmp_path / "killed", corpus(killer), {"use": "local", "processes": 2}, SETTINGS) == whole
    assert (tmp_path / "died").exists()


def test_words_put_together_from_disk_are_those_counted_at_once(tmp_path: Path) -> None:
    texts = [*(one.text or "" for one in reviews(40)), "", "unlike", "", *(one.text or "" for one in reviews(40, language="zh")), ""]  # fmt: skip
    whole = count_words(texts)
    found = gathered((counted(texts[start : start + 7]) for start in range(0, len(texts), 7)), tmp_path)
    assert "unlike" not in whole.words and "the" in whole.words
    assert list(found.words) == list(whole.words)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(found.counts, name), getattr(whole.counts, name))
    one = count_words(["a b a", "b c"])  # by hand: b alone stands in both
    assert list(one.words) == ["b"] and one.counts.toarray().tolist() == [[1], [1]]


def test_a_part_of_the_records_keeps_its_own_traits(tmp_path: Path) -> None:
    from burnish.quality.again import part
    from burnish.quality.noise_text import marks

    context = Context(TaskSpec(labels=("a",), languages=("en",)), 0, tmp_path, tmp_path, tmp_path, Silent())
    texts = ["plain words alone", "<b>bold</b>", "more words", "an &amp; here"]
    records = Records.from_rows(Record(text=text, id=str(at), label="a") for at, text in enumerate(texts))
    material = Material(records.table(COLUMNS), context, near=0.8, folds=2, backbone="auto", embed="none")
    assert [row for row, _ in traits.told(material.trait(marks))] == [1, 3]
    some = part(material, np.array([3, 0]))
    assert [(row, one["first"]) for row, one in traits.told(some.trait(marks))] == [(0, "&amp;")]
    assert list(some.texts) == ["an &amp; here", "plain words alone"] and list(some.ids) == ["3", "0"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and a node on loopback, each with its own object store and worker processes."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'burnish[ray]'")
    import warnings

    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        node = {"num_cpus": 1, "object_store_memory": 100 << 20}
        started = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        started.add_node(**node)
        started.wait_for_nodes()
        yield started
        started.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_loses_a_worker_and_a_node_in_the_middle_audits_the_same(
    tmp_path: Path, cluster, beside, monkeypatch, small_blocks
) -> None:
    killer = [Record(text=f"{SAYS}{tmp_path / 'died'}", id="killer")]
    whole = made(tmp_path / "whole", corpus(killer), {}, beside)
    doomed = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    cluster.wait_for_nodes()
    sealed, sent = traits.sealed, []

    def sealed_until_the_node_dies(table: Any) -> Any:
        sent.append(len(table))
        if len(sent) == 8:  # blocks are under way on all three nodes
            cluster.remove_node(doomed, allow_graceful=False)
        return sealed(table)

    monkeypatch.setattr(traits, "sealed", sealed_until_the_node_dies)
    monkeypatch.setitem(CHECKS, "empty", Check(**{**vars(CHECKS["empty"]), "reads": (*CHECKS["empty"].reads, mortal)}))
    found = made(tmp_path / "there", corpus(killer), {"use": "ray", "address": cluster.address}, beside)
    assert found == whole
    assert (tmp_path / "died").exists() and len(sent) > 20


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_clean_and_deduplicate_make_the_same_bytes_though_a_node_dies_between_two_batches(
    tmp_path: Path, cluster
) -> None:
    doomed = [cluster.add_node(num_cpus=1, object_store_memory=100 << 20)]
    cluster.wait_for_nodes()
    batches = [corpus().table() for _ in range(6)]
    walked = []

    def walk(columns: Any) -> Iterator[Any]:
        for batch in batches:
            if doomed and len(walked) == 3 and there:
                cluster.remove_node(doomed.pop(), allow_graceful=False)
            walked.append(len(batch))
            yield batch.select(list(columns)) if columns else batch

    results = []
    for there in (False, True):
        walked.clear()
        folder = tmp_path / str(there)
        folder.mkdir()
        engine = {"use": "ray", "address": cluster.address} if there else {}
        context = Context(TaskSpec(labels=("a",), languages=("en", "zh")), 0, folder, folder, folder, Silent(), engine=engine)  # fmt: skip
        records = deduplicate(clean(Records(walk, sum(map(len, batches))), context), context)
        records.save(folder)
        results.append((folder / "records.parquet").read_bytes())
    assert results[0] == results[1] and not doomed


def test_an_item_that_kills_every_worker_is_named_and_not_tried_for_ever(tmp_path: Path, small_blocks) -> None:
    context = Context(TaskSpec(labels=("a",)), 0, tmp_path, tmp_path, tmp_path, Silent(), engine={"use": "local", "processes": 2})  # fmt: skip
    texts = [f"{SAYS}/nowhere/at/all" if at == 50 else f"text {at}" for at in range(90)]
    records = Records.from_rows(Record(text=text, id=str(at)) for at, text in enumerate(texts))
    material = Material(records.table(COLUMNS), context, near=0.8, folds=2, backbone="auto", embed="none")
    with pytest.raises((BurnishError, FileNotFoundError)):
        material.trait(mortal)
