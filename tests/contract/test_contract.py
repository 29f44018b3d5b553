"""Every stage and every task of the house passes the suite that other people's parts pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from task_samples import SAMPLES

from burnish.core.stage import stages
from burnish.core.tasktypes import known_types
from burnish.testing import stage_checks, task_checks

# values for settings without a default; what reads files or needs real weights is driven in its own room's tests
SETTINGS = {
    "train.pretrain": {"size": "1x16", "vocabulary": 300, "length": 16, "steps": 2, "batch_tokens": 256},
    "split.stratified": {"group": "none"},
    "split.leave_one_out": {"user": "meta.stars", "least": 2},
    "construct.keywords": {"label": "positive", "words": ["love", "好"]},
    "construct.regex": {"label": "negative", "pattern": "refund|退款"},
    "construct.existing": {"field": "label"},
}
SIGNATURE_ONLY = {  # these need pretrained weights, which `weights` tests have
    "sources.huggingface",
    "construct.descriptions",
    "construct.examples",
    "construct.self_training",
    # these need a log, conversations or a teacher, which their own tests have
    "construct.dialogue",
    "construct.faq",
    "construct.preferences",
    "construct.self_instruct",
    "construct.evolve",
    "construct.align",
    "construct.back_translation",
    "quality.audit",
    "quality.curate",
    "train.search",
    "train.tune",
    "evaluate.report",
}


def collected():
    for stage in stages():
        for name, check in stage_checks(stage.address, SETTINGS.get(stage.address)):
            if stage.address in SIGNATURE_ONLY and name in (
                "says_the_same_twice",
                "loses_no_record",
                "never_edits_text",
            ):
                continue
            yield pytest.param(check, id=f"{stage.address}-{name}")


@pytest.mark.parametrize("check", list(collected()))
def test_stage(check) -> None:
    check()


@pytest.mark.parametrize(
    "check", [pytest.param(c, id=f"{name}-{n}") for name in known_types() for n, c in task_checks(name, *SAMPLES[name])]
)
def test_task(check) -> None:
    check()


def test_other_peoples_stages_pass_the_same_suite(plugin: Path) -> None:
    code = "from burnish.testing import check_stage; print(check_stage('quality.shout'), check_stage('quality.slow'))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugin), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["7", "7"]


def test_the_suite_catches_a_stage_that_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(BAD, encoding="utf-8")
    done = subprocess.run([sys.executable, "bad.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = done.stdout
    for word in (
        "has_a_summary_that_fits_a_line",
        "every_setting_is_documented",
        "loses_no_record",
        "says_the_same_twice",
    ):
        assert word in told, told


BAD = '''
from __future__ import annotations
import os
import random
from burnish.core.artifacts import Records
from burnish.core.stage import stage
from burnish.testing import stage_checks

@stage("quality.bad")
def bad(records: Records, *, threshold: float = 0.5) -> Records:
    """no period"""
    table = records.table()
    return Records.from_table(table.slice(0, random.randrange(len(table))))

random.seed()
for name, check in stage_checks("quality.bad"):
    try:
        check()
    except AssertionError as error:
        print(name, error, flush=True)
os._exit(0)  # as the command line ends, see cli.entry
'''
