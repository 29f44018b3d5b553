import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from burnish.measures import entities

LABELS = ["LOC", "PER", "组织"]
tag = st.one_of(st.just("O"), st.builds("{}-{}".format, st.sampled_from("BI"), st.sampled_from(LABELS)))
wide = st.one_of(st.just("O"), st.builds("{}-{}".format, st.sampled_from("BIES"), st.sampled_from(LABELS)))


def corpus(of):
    """Pairs of tag sequences of equal length; about half of the predictions are right."""
    pair = st.one_of(of.map(lambda one: (one, one)), st.tuples(of, of))
    return st.lists(st.lists(pair, max_size=12), min_size=1, max_size=6)


def sides(pairs):
    return [[a for a, _ in row] for row in pairs], [[b for _, b in row] for row in pairs]


def counted(targets, predictions, strict=None):
    read = [[entities.spans_of_tags(row, strict=strict) for row in side] for side in (targets, predictions)]
    return entities.entity_counts(*read, LABELS)


def peer():
    return pytest.importorskip("seqeval.metrics.sequence_labeling", reason="seqeval is not installed")


@given(corpus(wide))
@settings(deadline=None)
def test_scores_and_report_are_seqevals_to_the_last_digit(pairs):
    seqeval = peer()
    targets, predictions = sides([*pairs, [("B-PER", "B-PER")]])  # without any entity seqeval cannot write a report
    counts = counted(targets, predictions)
    scores = entities.entity_scores(counts.sum(0))
    with warnings.catch_warnings():  # of sides without a single entity
        warnings.simplefilter("ignore")
        for mean in ("micro", "macro", "weighted"):
            expected = seqeval.precision_recall_fscore_support(targets, predictions, average=mean)
            ours = [float(scores[f"{mean}_{name}"]) for name in ("precision", "recall", "f1")]
            assert [*expected[:3]] == (ours if mean == "micro" else pytest.approx(ours, rel=1e-15))
        for digits in (2, 4):
            expected = seqeval.classification_report(targets, predictions, digits=digits)
            assert entities.classification_report(counts, LABELS, digits=digits) == expected


@given(
    st.sampled_from([("BIO", "IOB2", tag), ("BIOES", "IOBES", wide)]).flatmap(
        lambda s: st.tuples(st.just(s), corpus(s[2]))
    )
)
@settings(deadline=None)
def test_the_strict_reading_is_seqevals(given_):
    seqeval = peer()
    from seqeval import scheme as schemes

    (ours, theirs, _), pairs = given_
    targets, predictions = sides([*pairs, [("B-PER", "B-PER"), ("O", "O"), ("B-PER", "B-PER"), ("I-PER", "I-PER")]])
    if ours == "BIOES":
        targets, predictions = sides([*pairs, [("S-PER", "S-PER")]])
    scores = entities.entity_scores(counted(targets, predictions, strict=ours).sum(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = seqeval.f1_score(targets, predictions, mode="strict", scheme=getattr(schemes, theirs))
    assert float(scores["micro_f1"]) == pytest.approx(expected, rel=1e-14)


@given(corpus(tag))
def test_counts_add_up(pairs):
    targets, predictions = sides(pairs)
    counts = counted(targets, predictions)
    assert counts.shape == (len(pairs), 3, 3)
    golds = [entities.spans_of_tags(row) for row in targets]
    for at, label in enumerate(LABELS):
        assert counts[:, at, [0, 2]].sum() == sum(one["label"] == label for row in golds for one in row)
    draws = np.stack([counts.sum(0), counts[0]])
    assert entities.entity_scores(draws)["micro_f1"][1] == entities.entity_scores(counts[0])["micro_f1"]


def test_a_span_is_right_only_with_both_borders_and_its_type():
    gold = [{"start": 0, "end": 2, "label": "PER"}]
    for start, end, label, right in ((0, 2, "PER", 1), (0, 1, "PER", 0), (1, 2, "PER", 0), (0, 2, "LOC", 0)):
        counts = entities.entity_counts([gold], [[{"start": start, "end": end, "label": label}]], ["LOC", "PER"])
        assert counts[0, :, 0].sum() == right and counts[0, :, 1].sum() == counts[0, :, 2].sum() == 1 - right
    assert not entities.entity_counts([None], [[]], ["PER"]).any()
    with pytest.raises(ValueError, match="'ORG'"):
        entities.entity_counts([None], [[{"start": 0, "end": 1, "label": "ORG"}]], ["PER"])


@given(corpus(tag))
def test_token_micro_f1_is_scikit_learns_with_and_without_o(pairs):
    targets, predictions = sides([*pairs, [("O", "O"), ("B-PER", "B-PER")]])
    scores = entities.token_scores(entities.token_counts(targets, predictions).sum(0))
    gold, said = [t for row in targets for t in row], [t for row in predictions for t in row]
    names = sorted({*gold, *said} - {"O"})
    assert float(scores["token_micro_f1"]) == pytest.approx(f1_score(gold, said, average="micro"))
    assert float(scores["token_micro_f1_without_o"]) == pytest.approx(
        f1_score(gold, said, average="micro", labels=names, zero_division=0)
    )
    assert float(scores["all_o"]) == pytest.approx(f1_score(gold, ["O"] * len(gold), average="micro"))


def test_tagging_everything_o_looks_good_only_with_o():
    gold = [["O"] * 9 + ["B-PER"]]
    scores = entities.token_scores(entities.token_counts(gold, [["O"] * 10]).sum(0))
    assert (scores["token_micro_f1"], scores["token_micro_f1_without_o"], scores["all_o"]) == (0.9, 0.0, 0.9)


@given(st.lists(wide, max_size=20), st.sampled_from(["BIO", "BIOES", "IOB1"]))
def test_spans_survive_every_scheme(tags, scheme):
    spans = entities.spans_of_tags(tags)
    written = entities.tags_of_spans(spans, len(tags), scheme=scheme)
    assert entities.spans_of_tags(written) == spans
    assert entities.convert_tags(tags, scheme=scheme) == written
    if scheme != "IOB1":
        assert entities.spans_of_tags(written, strict=scheme) == spans


def test_schemes_by_example():
    spans = [{"start": s, "end": e, "label": "PER"} for s, e in ((0, 2), (2, 3), (4, 5))]
    assert entities.tags_of_spans(spans, 5) == ["B-PER", "I-PER", "B-PER", "O", "B-PER"]
    assert entities.tags_of_spans(spans, 5, scheme="IOB1") == ["I-PER", "I-PER", "B-PER", "O", "I-PER"]
    assert entities.tags_of_spans(spans, 5, scheme="BIOES") == ["B-PER", "E-PER", "S-PER", "O", "S-PER"]
    assert entities.convert_tags(["B-PER", "L-PER", "U-LOC"], scheme="BIO") == ["B-PER", "I-PER", "B-LOC"]
    with pytest.raises(ValueError, match="overlaps"):
        entities.tags_of_spans([spans[0], {"start": 1, "end": 3, "label": "LOC"}], 5)
    with pytest.raises(ValueError, match="is no tag"):
        entities.spans_of_tags(["X-PER"])
