"""Chinese words, by the dictionary and hidden Markov model of jieba (in Rust: the library rjieba, 11 million characters a CPU-second)."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from burnish.core.errors import MissingExtra
from burnish.text.scripts import UNSPACED_CLASS

_RUN = re.compile(f"[{UNSPACED_CLASS}]+")


def words_of(run: str) -> list[str]:
    """Cut a run of Chinese characters into words; joined they are the run again.

    Dictionary words are simplified; what it does not know (traditional forms, names) is cut by the hidden Markov model.
    Raises MissingExtra without rjieba.
    """
    found: list[str] = _segmenter().cut(run)
    return found


def segmented(text: str) -> list[str]:
    """Cut a text into Chinese words and what stands between runs of Chinese; joined they are the text again."""
    cut: list[str] = []
    end = 0
    for run in _RUN.finditer(text):
        cut += [text[end : run.start()]] if run.start() > end else []
        cut += words_of(run[0])
        end = run.end()
    return [*cut, text[end:]] if end < len(text) else cut


@cache
def _segmenter() -> Any:
    try:
        import rjieba
    except ImportError as error:
        raise MissingExtra("cutting Chinese into words", "chinese") from error
    return rjieba


def tagged(text: str) -> list[tuple[str, str]]:
    """Words of a text with jieba's part of speech (nr a person, ns a place, nt an organisation, …). MissingExtra without rjieba."""
    found: list[tuple[str, str]] = _segmenter().tag(text)
    return found
