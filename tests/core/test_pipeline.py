"""Same key, no work; killed anywhere, it goes on; two at once do no harm; a full disk leaves nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest


def steps(folder: Path, name: str = "reviews") -> dict[str, str]:
    """address -> status of the last run."""
    run = json.loads((folder / "runs" / name / "run.json").read_text("utf-8"))
    return {f"{step['room']}.{step['use']}#{at}": step["status"] for at, step in enumerate(run["steps"])}


def statuses(folder: Path) -> set[str]:
    return set(steps(folder).values())


def test_a_second_run_does_nothing_and_says_so(project: Path, burnish) -> None:
    first = burnish("run", cwd=project)
    assert first.returncode == 0, first.stderr
    assert statuses(project) == {"made"}
    began = time.monotonic()
    again = burnish("run", cwd=project)
    assert time.monotonic() - began < 10  # 3 s on an idle machine (issue 2); the bound here survives a busy one
    assert again.returncode == 0, again.stderr
    assert statuses(project) == {"kept"}
    assert "nothing to do" in again.stdout


def test_one_changed_setting_makes_again_from_there(project: Path, burnish) -> None:
    assert burnish("run", cwd=project).returncode == 0
    changed = "construct.keywords[1].words=[refund, broken, 退款, 差]"
    told = burnish("why", "--set", changed, cwd=project).stdout.splitlines()
    assert burnish("run", "--set", changed, cwd=project).returncode == 0
    status = list(steps(project).values())
    assert status == ["kept", "kept", "kept", "made", "made"]
    assert [line.split()[0] for line in told] == ["keep", "keep", "keep", "make", "make"]
    assert "words: ['refund', 'broken', '退款'] -> ['refund', 'broken', '退款', '差']" in told[3]
    assert "what it takes is made anew" in told[4]


def test_a_changed_input_file_is_noticed_by_content(project: Path, burnish) -> None:
    assert burnish("run", cwd=project).returncode == 0
    (project / "raw.jsonl").touch()
    assert burnish("run", cwd=project).returncode == 0
    assert statuses(project) == {"kept"}
    with (project / "raw.jsonl").open("a", encoding="utf-8") as out:
        out.write('{"review": "good enough"}\n')
    assert "the content of path changed" in burnish("why", cwd=project).stdout
    assert burnish("run", cwd=project).returncode == 0
    assert statuses(project) == {"made"}


def test_the_run_folder_keeps_its_contract(project: Path, burnish) -> None:
    assert burnish("run", cwd=project).returncode == 0
    run = project / "runs" / "reviews"
    table = pq.read_table(run / "construct" / "records.parquet").to_pylist()
    labelled = {row["text"].rsplit(" ", 1)[0]: row["label"] for row in table}
    assert labelled["I love it!!!"] == "positive"
    assert labelled["质量太差了，要求退款"] == "negative"
    assert labelled["no opinion at all"] is None
    assert all(row["votes"] for row in table if row["label"])
    assert json.loads((run / "construct" / "labellers.json").read_text("utf-8"))
    assert (run / "burnish.yaml").is_file() and (run / "report.html").is_file()


def test_stops_after_a_room_and_makes_again_from_one(project: Path, burnish) -> None:
    assert burnish("run", "--to", "sources", cwd=project).returncode == 0
    assert [name.split(".")[0] for name in steps(project)] == ["sources", "sources"]
    assert burnish("run", cwd=project).returncode == 0
    assert burnish("run", "--from", "construct", cwd=project).returncode == 0
    assert list(steps(project).values()) == ["kept", "kept", "made", "made", "made"]
    wrong = burnish("run", "--to", "qualty", cwd=project)
    assert wrong.returncode == 2 and "did you mean 'quality'" in wrong.stderr


SLOW = "quality: [{use: slow, seconds: 0.1}]\n"


def digest(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "runs" / ".store" / "objects").glob("*/records.parquet"))]


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    project: Path, burnish, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (project / "burnish.yaml").open("a") as spec:
        spec.write(SLOW)
    whole = tmp_path_factory.mktemp("whole") / "project"
    shutil.copytree(project, whole)
    assert burnish("run", cwd=whole).returncode == 0
    for wait_s in (0.3, 0.9, 1.5, 2.1, 2.7):
        running = burnish("run", cwd=project, wait=False)
        time.sleep(wait_s)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        objects = project / "runs" / ".store" / "objects"
        for made in objects.iterdir() if objects.is_dir() else ():
            assert (made / "counts.json").is_file(), "a key that exists is whole"
    assert burnish("run", cwd=project).returncode == 0
    assert digest(project) == digest(whole)
    assert not list((project / "runs" / ".store" / "tmp").iterdir())


def test_two_runs_in_one_store_at_once_do_no_harm(project: Path, burnish) -> None:
    with (project / "burnish.yaml").open("a") as spec:
        spec.write(SLOW)
    both = [burnish("run", cwd=project, wait=False) for _ in range(2)]
    told = [running.communicate(timeout=120) for running in both]
    assert [running.returncode for running in both] == [0, 0], told
    assert "another run is making quality.slow" in told[0][1] + told[1][1]
    made = {path.name for path in (project / "runs" / ".store" / "objects").iterdir()}
    assert len(made) == len(steps(project))


def test_a_full_disk_leaves_nothing_half_written(project: Path, burnish, tmp_path: Path) -> None:
    disk = tmp_path / "small-disk"
    disk.mkdir()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)], capture_output=True
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("mounting a small disk needs root")
    try:
        shutil.copy(project / "burnish.yaml", disk)
        with (disk / "raw.jsonl").open("w", encoding="utf-8") as raw:
            for at in range(1500):
                raw.write(json.dumps({"review": f"good {os.urandom(64).hex()} {at}"}) + "\n")
        failed = burnish("run", cwd=disk)
        assert failed.returncode == 1
        assert "the disk is full" in failed.stderr and "run the same command again" in failed.stderr
        objects = disk / "runs" / ".store" / "objects"
        assert all((made / "counts.json").is_file() for made in (objects.iterdir() if objects.is_dir() else ()))
        assert not list((disk / "runs" / ".store").glob("tmp/*"))
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        assert burnish("run", cwd=disk).returncode == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_plug_in_is_found_listed_and_used(project: Path, burnish) -> None:
    assert "shout" in burnish("stages", "quality", cwd=project).stdout
    with (project / "burnish.yaml").open("a") as spec:
        spec.write("quality: [{use: shout, minimum: 2}]\n")
    done = burnish("run", cwd=project)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(project / "runs" / "reviews" / "quality" / "records.parquet").to_pylist()
    assert {row["text"].startswith("I love it!!!") for row in table if "shout: loud" in (row["trail"] or [])} == {True}


def test_lineage_tells_a_records_whole_story(project: Path, burnish) -> None:
    assert burnish("run", cwd=project).returncode == 0
    rows = pq.read_table(project / "runs" / "reviews" / "construct" / "records.parquet").to_pylist()
    wanted = next(row for row in rows if "退款" in row["text"])
    told = burnish("lineage", wanted["id"], cwd=project)
    assert told.returncode == 0, told.stderr
    assert "raw.jsonl:4" in told.stdout and "negative" in told.stdout and "vote" in told.stdout
    nobody = burnish("lineage", "ffff", cwd=project)
    assert nobody.returncode == 2 and "no record, step or run" in nobody.stderr


def test_an_old_room_does_not_stand_beside_new_data(project: Path, burnish) -> None:
    with (project / "burnish.yaml").open("a") as spec:
        spec.write("quality: [{use: shout}]\n")
    assert burnish("run", cwd=project).returncode == 0
    quality = project / "runs" / "reviews" / "quality" / "records.parquet"
    assert quality.exists()
    changed = "construct.keywords.words=[love]"
    assert burnish("run", "--to", "construct", "--set", changed, cwd=project).returncode == 0
    assert not quality.exists()
    assert burnish("run", "--to", "construct", cwd=project).returncode == 0
    assert burnish("run", cwd=project).returncode == 0
    assert quality.exists()
