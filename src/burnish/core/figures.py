"""Figures as people write their names, in the language of the page that is being drawn."""

from __future__ import annotations

from burnish.core.chinese import named, spoken

OWN = {
    "n": "records",
    "ece": "calibration error",
    "chrf": "chrF",
    "bleu": "BLEU",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "map": "MAP",
    "mcc": "Matthews correlation",
    "brier": "Brier score",
    "mae": "mean absolute error",
    "rmse": "RMSE",
    "r2": "R²",
    "all_o": "all O",
    "token_micro_f1_without_o": "token micro F1 without O",
}
CUT = {"ndcg": "nDCG", "hr": "HR", "mrr": "MRR"}  # written with what they are cut at: ndcg@10


def word(figure: str) -> str:
    """The name of a figure inside a line: macro_f1 -> macro F1; of one task of several, its task first."""
    task, dot, own = figure.rpartition(".")
    if dot:
        return f"{task}：{word(own)}" if spoken() == "zh" else f"{task}: {word(own)}"
    if (said := named("figure", figure)) != figure:
        return said
    if figure in OWN:
        return OWN[figure]
    name, at, cut = figure.partition("@")
    if name in CUT:
        return CUT[name] + at + cut
    if at and (said := named("figure", name)) != name:
        return said + at + cut
    return " ".join("F1" if one == "f1" else one for one in figure.split("_"))


def title(figure: str) -> str:
    """The same at the beginning of one; what has capitals of its own keeps them."""
    said = word(figure)
    return said if said.split()[0] != said.split()[0].lower() else said[:1].upper() + said[1:]


def between(low: str, high: str) -> str:
    """Two ends of an interval, written already."""
    return f"{low} {named('part', 'to')} {high}"
