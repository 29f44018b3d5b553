"""What redaction takes out, what it leaves where it was, and who can turn it back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import Record
from burnish.core.stage import Context
from burnish.quality.redact import redact, shifted
from burnish.reveal import reveal
from burnish.testing import check_stage
from burnish.text.checksums import iban, luhn, resident_identity
from burnish.text.edits import Edit
from burnish.text.pseudonyms import Key, Pseudonyms

SECRET = "a long enough secret for tests"
ENGLISH = "My name is Maria Lopez, call me at (415) 555-0132 or maria.lopez@acme.com. Ms. Lopez lives in Oslo."
CHINESE = "我叫王小明，电话13812345678，身份证11010519491231002X，请联系王小明。"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("REDACT_KEY", SECRET)
    return "REDACT_KEY"


def saved(made: Records, folder: Path) -> Records:
    folder.mkdir(exist_ok=True)
    made.save(folder)
    return Records.open(folder)


def test_fits_the_house() -> None:
    assert check_stage("quality.redact") > 3


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
@pytest.mark.parametrize("how", ["mask", "remove", "pseudonym"])
def test_no_value_stays(text: str, how: str, key: str, context: Context, tmp_path: Path) -> None:
    rows = [Record(text=text, id="a", meta={"from": "maria.lopez@acme.com", "stars": 3}, output=text)]
    made = redact(Records.from_rows(rows), context, how=how, key_env=key if how == "pseudonym" else None)  # type: ignore[arg-type]
    (row,) = saved(made, tmp_path / "out")
    everything = json.dumps(row.row(), ensure_ascii=False, default=str)
    for value in ("Maria", "Lopez", "555-0132", "maria.lopez", "王小明", "13812345678", "11010519491231002X"):
        assert value not in everything
    assert row.trail[-1].startswith(f"quality.redact: {how} ") and row.meta["stars"] == 3


def test_spans_relations_and_answers_move_along(context: Context, tmp_path: Path) -> None:
    text = "Mail a@b.org now: Berlin is near Oslo."
    at, other = text.index("Berlin"), text.index("Oslo")
    spans = [
        {"start": 5, "end": 12, "label": "CONTACT"},
        {"start": at, "end": at + 6, "label": "CITY"},
        {"start": other, "end": other + 4, "label": "CITY"},
    ]
    rows = [
        Record(text=text, id="s", spans=spans, relations=[{"head": 1, "tail": 2, "label": "near"}]),
        Record(text="where?", text_b=text, id="q", answer={"text": "Oslo", "start": other}),
        Record(text="who?", text_b=text, id="w", answer={"text": "a@b.org", "start": 5}),
    ]
    masked = {one.id: one for one in saved(redact(Records.from_rows(rows), context), tmp_path / "m")}
    one = masked["s"]
    assert [one.text[s["start"] : s["end"]] for s in one.spans] == ["[EMAIL]", "Berlin", "Oslo"]  # type: ignore[index]
    assert masked["q"].text_b[masked["q"].answer["start"] :].startswith("Oslo")  # type: ignore[index]
    assert masked["w"].answer == {"text": "[EMAIL]", "start": 5}
    removed = {one.id: one for one in saved(redact(Records.from_rows(rows), context, how="remove"), tmp_path / "r")}
    one = removed["s"]
    assert [one.text[s["start"] : s["end"]] for s in one.spans] == ["Berlin", "Oslo"]  # type: ignore[index]
    assert one.relations == [{"head": 0, "tail": 1, "label": "near"}]
    assert removed["w"].answer is None and "lost the answer" in removed["w"].trail[-1]


def test_a_border_inside_what_is_replaced_moves_to_its_end() -> None:
    edits = [Edit(4, 10, "[X]")]
    assert shifted(6, 12, edits) == (4, 9)
    assert shifted(0, 6, edits) == (0, 7)
    assert shifted(12, 14, edits) == (9, 11)


def test_pseudonyms_are_consistent_of_the_same_form_and_checked_sums() -> None:
    drawn = Pseudonyms(Key(SECRET))
    again = Pseudonyms(Key(SECRET))
    other = Pseudonyms(Key(SECRET + "!"))
    values = [("phone", "13812345678"), ("bank_card", "4111 1111 1111 1111"), ("id_number", "11010519491231002X"),
              ("iban", "DE89 3704 0044 0532 0130 00"), ("plate", "粤B12345"), ("name", "王小明"), ("name", "Maria Lopez")]  # fmt: skip
    made = {value: drawn.of(kind, value) for kind, value in values}
    assert made == {value: again.of(kind, value) for kind, value in values}
    assert all(other.of(kind, value) != made[value] for kind, value in values)
    assert made["13812345678"][:3] == "138" and len(made["13812345678"]) == 11
    assert luhn(made["4111 1111 1111 1111"].replace(" ", "")) and made["4111 1111 1111 1111"][4] == " "
    assert resident_identity(made["11010519491231002X"]) and iban(made["DE89 3704 0044 0532 0130 00"])
    assert len(made["王小明"]) == 3 and drawn.of("name", "Lopez") == made["Maria Lopez"].split()[-1]
    many = {drawn.of("phone", f"138{n:08d}") for n in range(2000)}
    assert len(many) == 2000


def test_only_the_key_turns_them_back(
    key: str, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Record(text=ENGLISH, id="e"), Record(text=CHINESE, id="c")]
    made = saved(redact(Records.from_rows(rows), context, how="pseudonym", key_env=key), tmp_path / "quality")  # type: ignore[arg-type]
    table = tmp_path / "quality" / "pseudonyms.enc"
    for file in (tmp_path / "quality").iterdir():
        content = file.read_bytes()
        assert SECRET.encode() not in content and "王小明".encode() not in content and b"Maria" not in content
    texts = [record.text or "" for record in made]
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps({"text": one}, ensure_ascii=False) for one in texts))
    assert reveal(tmp_path, key_env=key, input=tmp_path / "in.jsonl", out=tmp_path / "back.jsonl") == 2
    back = [json.loads(line)["text"] for line in (tmp_path / "back.jsonl").read_text().splitlines()]
    assert back == [ENGLISH, CHINESE]
    monkeypatch.setenv("REDACT_KEY", SECRET + "!")
    with pytest.raises(BurnishError, match="does not open"):
        reveal(table, key_env=key, input=tmp_path / "in.jsonl", out=tmp_path / "no")
    monkeypatch.delenv("REDACT_KEY")
    with pytest.raises(BurnishError, match="has no REDACT_KEY"):
        reveal(table, key_env=key, input=tmp_path / "in.jsonl", out=tmp_path / "no")


def test_what_cannot_work_is_said(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records.from_rows([Record(text="hi", id="a")])
    with pytest.raises(BurnishError, match="pseudonyms are drawn with a key"):
        redact(records, context, how="pseudonym")
    with pytest.raises(BurnishError, match=r"no kind 'fone'.*\n.*phone"):
        redact(records, context, kinds=["fone"])
    monkeypatch.setenv("SHORT", "1234")
    with pytest.raises(BurnishError, match="fewer than 16"):
        redact(records, context, how="pseudonym", key_env="SHORT")  # type: ignore[arg-type]


def test_from_a_file_to_pseudonyms_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from burnish.cli import app

    monkeypatch.chdir(tmp_path)
    texts = [ENGLISH, CHINESE, "nothing of anybody here"]
    (tmp_path / "in.jsonl").write_text(
        "\n".join(json.dumps({"text": one, "label": "a"}, ensure_ascii=False) for one in texts)
    )
    (tmp_path / "burnish.yaml").write_text(
        "burnish: 1\nname: x\ntask: {type: classification, labels: [a, b], languages: [en, zh]}\n"
        "sources: [{use: jsonl, path: in.jsonl}]\nquality: [{use: redact, how: pseudonym, key_env: REDACT_KEY}]\n"
    )
    run = CliRunner()
    monkeypatch.delenv("REDACT_KEY", raising=False)
    assert "has no REDACT_KEY" in str(run.invoke(app, ["run"]).exception)
    monkeypatch.setenv("REDACT_KEY", SECRET)
    done = run.invoke(app, ["run"])
    assert done.exit_code == 0, str(done.exception)
    stored = b"".join(file.read_bytes() for file in (tmp_path / "runs").rglob("*") if file.is_file())
    assert SECRET.encode() not in stored
    done = run.invoke(app, ["reveal", "runs/x", "--key-env", "REDACT_KEY", "-o", "back.jsonl"])
    assert done.exit_code == 0, str(done.exception)
    assert [json.loads(line)["text"] for line in (tmp_path / "back.jsonl").read_text().splitlines()] == texts
    monkeypatch.setenv("REDACT_KEY", SECRET + "2")
    assert "make  quality.redact" in run.invoke(app, ["why"]).stdout, "another key is another step"
