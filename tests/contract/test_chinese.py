"""What burnish writes beside records in English can be said in Chinese: every reason in the code, every name, every entry."""

from __future__ import annotations

import importlib
import inspect
import re
import time
from pathlib import Path

import pytest
from written import baseline_names, beside_records, sentences

import burnish
from burnish.core import chinese
from burnish.core.chinese import catalogue, named_in, said_in
from burnish.quality import audit  # noqa: F401  (it registers the checks)
from burnish.quality.checks import CHECKS
from burnish.quality.ethics import WEIGHTS
from burnish.text.groups import DEFAULT, read_groups

HAN = re.compile("[\u4e00-\u9fff]")
WRITERS = sorted(
    {str(inspect.getmodule(one.judge).__name__) for one in CHECKS.values()}  # type: ignore[union-attr]
    | {f"burnish.quality.{name}" for name in ("bench", "canaries", "changed", "checks", "clean", "curate", "deduplicate", "ledger", "material", "plan", "select")}
    | {f"burnish.measures.{name}" for name in ("hygiene", "licences", "translation_pairs")}
    | {f"burnish.evaluate.{name}" for name in ("exposure", "fairness", "fairness_page", "judges", "page", "page_details", "page_errors", "page_tables", "robustness", "robustness_page", "slices", "worst")}
    | {f"burnish.{name}" for name in ("chapters", "construct_chapter", "search_chapter")}
)  # fmt: skip
ROOMS = ("construct", "measures", "quality", "review", "split", "tasks", "train")
# pieces that no person reads as a reason: patterns, words that questions begin with, what is told when a spec is checked
NOT_SAID = re.compile(
    r"\||^(how|what|in what|in which|when) |^not for this task$|lorem|canaries are|writes no texts|^the model 7$|^the be to of|^which labels its|^7 and label$"
    r"|^no (variant|label) 7$|^(variants|labels) are$|^paraphrases? ?(want|: a run)|^the file is empty$|(alpha|kappa)$|^records without a vote$"
)
# reasons that no record keeps (counts of what was refused and what training found are told in the run's own story), and lines
# that say a label and a belief alone
ELSEWHERE = re.compile(
    r"^skipped speaker$|^7 is wanted$|^(an answer is empty|both answers are|no conversation)|7 7$|^7 7 with"
    r"|validation|more than chance|in every repeat|chance would"
)


@pytest.mark.parametrize("name", WRITERS)
def test_every_sentence_that_is_written_beside_records_has_its_chinese(name: str) -> None:
    known = {one.split(" ", 1)[-1] for one in catalogue().names}  # "kind span outside": a name, told by its kind
    missing = [
        f"{name}:{line}: {said}"
        for line, said in sentences(importlib.import_module(name))
        if not HAN.search(said_in("zh", said)) and said not in known and not NOT_SAID.search(said)
    ]
    assert not missing, "a pair of lines in zh/*.txt is missing:\n" + "\n".join(missing)


def test_every_reason_and_line_of_a_trail_that_a_room_puts_into_records_has_its_chinese() -> None:
    root = Path(burnish.__file__).parent
    found, missing = 0, []
    for path in (one for room in ROOMS for one in sorted((root / room).rglob("*.py"))):
        name = ".".join(("burnish", *path.relative_to(root).with_suffix("").parts))
        judges = not name.startswith("burnish.train.")  # there a problem is one of the spec
        for line, said in beside_records(importlib.import_module(name), problems=judges):
            found += 1
            if said_in("zh", said) == said and not ELSEWHERE.search(said):
                missing.append(f"{name}:{line}: {said}")
    assert found > 70
    assert not missing, "a pair of lines in zh/*.txt is missing:\n" + "\n".join(missing)


def test_what_training_says_of_its_choices_has_chinese_words() -> None:
    """The settings that `auto` became stand on the page of a run with their reasons."""
    modules = [importlib.import_module(f"burnish.{name}") for name in ("nn.strategies.auto", "nn.losses.auto", "nn.training", "train.budget")]  # fmt: skip
    told = [said for module in modules for _, said in sentences(module)]
    assert len(told) > 12
    assert not [said for said in told if not HAN.search(said_in("zh", said)) and not said.startswith(", each of")]


def test_what_a_task_says_of_its_details_and_its_baselines_has_chinese_words() -> None:
    root = Path(burnish.__file__).parent
    told = []
    for path in sorted((root / "tasks").rglob("*.py")):
        module = importlib.import_module(".".join(("burnish", *path.relative_to(root).with_suffix("").parts)))
        own = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__]
        told += [said for one in own for said in vars(one).get("about", {}).values()]
        told += baseline_names(module)
    assert len(told) > 35
    assert not [said for said in told if said_in("zh", said) == said]


def test_checks_and_their_methods_groups_and_kinds_of_personal_data_have_chinese_words() -> None:
    nameless = [name for name in CHECKS if named_in("zh", "check", name) == name]
    for one in CHECKS.values():
        for said in (one.about, one.doc.split("\n", 2)[-1].strip()):
            nameless += [said] if said_in("zh", said) == said else []
    nameless += [kind for kind in WEIGHTS if not HAN.search(said_in("zh", f"3 {kind.replace('_', ' ')}"))]
    for axis, group in read_groups(DEFAULT):
        nameless += [axis] if named_in("zh", "axis", axis) == axis else []
        nameless += [group] if named_in("zh", "group", group) == group else []
    assert not nameless


def test_every_entry_is_found_by_its_own_sentence() -> None:
    """None is hidden behind another: a sentence with its holes filled comes out with all that fills them."""
    for entry in catalogue().entries:
        values = {name: f"{at + 3}%" for at, name in enumerate(entry.kinds)}
        english = chinese._HOLE.sub(lambda hole, values=values: values[hole[1]], entry.english)  # type: ignore[misc]
        wanted = entry.say(entry.fits(english.replace("[", "").replace("]", "")) or {})
        assert said_in("zh", english.replace("[", "").replace("]", "")) == wanted, entry.english
        assert all(value in wanted for value in values.values()), entry.english
        assert HAN.search(entry.chinese) or "：" in entry.chinese, entry.english


def test_a_sentence_keeps_its_values_and_loses_its_english() -> None:
    said = said_in("zh", "labelled 正面 (12% likely); 负面 is 88% likely")
    assert said == "标为“正面”（可能性 12%），而“负面”的可能性是 88%"
    assert said_in("en", "labelled a (1% likely); b is 9% likely") == "labelled a (1% likely); b is 9% likely"


def test_what_nobody_translated_stays_as_it_is() -> None:
    for sentence in ("my plug-in dislikes it", "", "12 apples", "shop.check: bad", "labelled so"):
        assert said_in("zh", sentence) == sentence


def test_optional_parts_are_said_where_they_are_there() -> None:
    assert said_in("zh", "1 listed word") == "出现词表中的词 1 处"
    assert said_in("zh", "3 listed words, 2 of them disguised") == "出现词表中的词 3 处，其中 2 处经过伪装"
    assert said_in("zh", "1 listed word; 80% likely rude") == "出现词表中的词 1 处；有 80% 的可能是“rude”"


def test_names_of_burnish_in_a_sentence_are_said_in_chinese_and_those_of_users_are_not() -> None:
    assert said_in("zh", "looks like fr, not zh or en") == "看起来是法语，而不是中文或英语"
    assert said_in("zh", "personal data: 2 phone, 1 id number") == "个人信息：2 个电话号码、1 个身份证号"
    assert said_in("zh", "one of 4 records whose source is source") == "来源为“source”的记录只有 4 条"
    assert said_in("zh", "one of 4 records whose meta.shop is en") == "meta.shop为“en”的记录只有 4 条"


def test_a_line_of_a_trail_is_said_with_the_reason_inside() -> None:
    line = "quality.curate: set aside, label_errors: labelled a (1% likely); b is 99% likely"
    assert said_in("zh", line) == "quality.curate：搁置（疑似标签错误）：标为“a”（可能性 1%），而“b”的可能性是 99%"
    line = "quality.clean: set aside, words: 1 words or Chinese characters"
    assert said_in("zh", line) == "quality.clean：搁置（长度）：共 1 个词或汉字"
    assert said_in("zh", "aggregate:by fork: food 0.93, was shop") == "aggregate:by fork：food 0.93，原为“shop”"
    assert said_in("zh", "review: 正面 by ann, was 负面") == "review：ann 定为“正面”，原为“负面”"
    assert said_in("zh", "review: rejected by ann") == "review：被 ann 拒绝"


def test_a_catalogue_with_a_line_alone_or_a_hole_nobody_fills_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one {n}\n一 {m}\n", "utf-8")
    with pytest.raises(ValueError, match=r"a\.txt:1: 'one \{n\}'"):
        list(chinese.pairs(path))
    path.write_text("one\n一\n\ntwo\n", "utf-8")
    with pytest.raises(ValueError, match=r"a\.txt:4: 'two' stands alone"):
        list(chinese.pairs(path))


def test_no_sentence_has_two_translations() -> None:
    known: dict[str, str] = {}
    for path in chinese.files():
        for english, said in chinese.pairs(path):
            assert known.setdefault(english, said) == said, f"{path.name}: {english}"


def test_a_long_sentence_made_of_our_own_words_is_given_up_soon() -> None:
    began = time.process_time()
    for piece in ("” is x here and y in ", "” and “", " (1% likely); ", " as ", " to "):
        sentence = "“a" + piece * (3900 // len(piece))
        assert said_in("zh", sentence) == sentence
    assert time.process_time() - began < 5
