"""The same results, in order, wherever they are computed, and a worker that dies costs nothing but time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
import spread_work as work

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.spread import spread
from burnish.core.stage import Context, TaskSpec
from burnish.quality.clean import clean
from burnish.quality.deduplicate import deduplicate

SENTENCES = [
    "The weather in the north was cold and wet for most of the week",
    "这个手机的屏幕很好，电池也不错，我很喜欢",
    "x",
    "# # # # ...",
]


def corpus(count: int) -> Records:
    """Several batches, with texts to set aside and copies far apart."""
    texts = [
        f"{SENTENCES[row % 4]} {row % (count // 2)} {row * 7919 % 1000 if row % 5 else ''}" for row in range(count)
    ]
    return Records.from_rows(Record(text=text, id=str(row)) for row, text in enumerate(texts))


def made(folder: Path, engine: dict) -> bytes:
    """The bytes of clean and deduplicated records."""
    folder.mkdir()
    context = Context(
        TaskSpec(labels=("a", "b"), languages=("en", "zh")), 0, folder, folder, folder, Silent(), engine=engine
    )
    records = corpus(20_000)
    for name, step in (("clean", clean), ("deduplicate", deduplicate)):
        records = step(records, context)
        (folder / name).mkdir()
        records.save(folder / name)
        records = Records.open(folder / name)
    assert 0 < records.facts["deduplicate"]["set_aside"] < 20_000 and records.facts["clean"]["aside"] > 0
    return (folder / "deduplicate" / "records.parquet").read_bytes()


def test_one_process_is_plain_map() -> None:
    assert list(spread(work.squared, range(5), {})) == [0, 1, 4, 9, 16]


@pytest.mark.slow
def test_processes_make_the_same_bytes_as_one(tmp_path: Path) -> None:
    assert made(tmp_path / "one", {}) == made(tmp_path / "two", {"use": "local", "processes": 2})


def test_a_process_that_dies_is_replaced_and_order_stays(tmp_path: Path) -> None:
    items = [(number, str(tmp_path / "died")) for number in range(12)]
    assert list(spread(work.dying_once, items, {"use": "local", "processes": 2})) == [n * n for n in range(12)]
    assert (tmp_path / "died").exists()


def test_what_a_function_raises_is_raised_here_and_a_deadly_item_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 is refused"):
        list(spread(work.refused, range(3), {"use": "local", "processes": 2}))
    with pytest.raises(BurnishError, match="ended by itself"):
        list(spread(work.dying, [1], {"use": "local", "processes": 2}))


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """A head and two nodes on loopback, each with its own object store and worker processes."""
    pytest.importorskip("ray")
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
def test_a_ray_cluster_makes_the_same_bytes_though_a_worker_and_a_node_die(tmp_path: Path, cluster) -> None:
    engine = {"use": "ray", "address": cluster.address}
    assert made(tmp_path / "here", {}) == made(tmp_path / "there", engine)
    doomed = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    cluster.wait_for_nodes()

    def items() -> Iterator[tuple[int, str]]:
        for number in range(40):
            if number == 20:
                cluster.remove_node(doomed, allow_graceful=False)
            yield number, str(tmp_path / "died")

    assert list(spread(work.dying_once, items(), engine)) == [n * n for n in range(40)]
    assert (tmp_path / "died").exists()
    with pytest.raises(ValueError, match="0 is refused"):
        list(spread(work.refused, range(3), engine))
