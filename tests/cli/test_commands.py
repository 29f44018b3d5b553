"""Commands as people type them: results on stdout, the story on stderr, exit codes of the contract."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import yaml

from burnish.cli import main


def test_schema_accepts_a_good_spec_and_refuses_a_bad_one(project: Path, burnish) -> None:
    schema = json.loads(burnish("schema", cwd=project).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = yaml.safe_load((project / "burnish.yaml").read_text("utf-8"))
    assert list(validator.iter_errors(good)) == []
    assert list(validator.iter_errors({**good, "qualty": []}))
    assert list(validator.iter_errors({**good, "sources": [{"use": "jsonl", "pth": "x"}]}))


def test_the_filled_spec_is_schema_valid_too(project: Path, burnish) -> None:
    schema = json.loads(burnish("schema", cwd=project).stdout)
    filled = yaml.safe_load(burnish("fill", cwd=project).stdout)
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(filled)) == []


def test_wrong_usage_exits_with_2(project: Path, burnish) -> None:
    for arguments in (["chek"], ["run", "--nope"], ["stages", "qualty"], ["check", "nope.yaml"], ["backbones", "push"]):
        done = burnish(*arguments, cwd=project)
        assert done.returncode == 2, (arguments, done.stderr)
        assert done.stderr and "Traceback" not in done.stderr


def test_plan_prices_without_running(project: Path, burnish) -> None:
    done = burnish("plan", "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    costs = json.loads(done.stdout)
    assert [cost["state"] for cost in costs] == ["to do"] * 5
    assert costs[0]["records"] == 18 and costs[0]["tokens"] > 0
    assert not (project / "runs" / "reviews").exists()
    assert burnish("run", cwd=project).returncode == 0
    after = json.loads(burnish("plan", "--json", cwd=project).stdout)
    assert {cost["state"] for cost in after} == {"kept"}


def test_stages_show_their_settings(project: Path, burnish) -> None:
    told = burnish("stages", "construct.keywords", cwd=project).stdout
    assert "words" in told and "required" in told
    facts = json.loads(burnish("stages", "construct.keywords", "--json", cwd=project).stdout)
    assert facts["settings"]["words"]["type"] == "array"


def test_runs_and_json_results(project: Path, burnish) -> None:
    done = burnish("run", "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "done"
    assert "reviews" in burnish("runs", cwd=project).stdout


def test_doctor_says_what_is_there(project: Path, burnish) -> None:
    done = burnish("doctor", "--json", cwd=project)
    found = {one["what"]: one for one in json.loads(done.stdout)}
    assert found["torch"]["state"] == "ok" and "weights minilm" in found
    assert done.returncode == 0


def test_a_limit_reaches_every_source(project: Path, burnish) -> None:
    assert burnish("run", "--limit", "4", "--to", "sources", cwd=project).returncode == 0
    steps = json.loads((project / "runs" / "reviews" / "run.json").read_text("utf-8"))["steps"]
    assert steps[-1]["counts"]["records"] == 4


def test_help_of_every_command_says_something(capsys) -> None:
    main(["--help"])
    commands = [
        line.split()[0]
        for line in capsys.readouterr().out.split("Commands:")[1].splitlines()
        if line.startswith("  ") and line.strip()
    ]
    for name in commands:
        assert main([name, "--help"]) == 0
        assert len(capsys.readouterr().out) > 150, name
