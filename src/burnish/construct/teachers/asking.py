"""Ask a teacher many questions: in order, cached by content, within a budget, resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from burnish.construct.teachers.endpoint import OpenAI
from burnish.construct.teachers.questions import Question, Reply
from burnish.core.records import Reject
from burnish.core.stage import Context


class Asking(Iterator[Reply]):
    """Replies in the order of the questions. `facts` and `rejects` are whole when it is exhausted."""

    facts: dict[str, Any]

    def __next__(self) -> Reply:
        raise NotImplementedError

    def rejects(self) -> Iterator[Reject]:
        """The ledger of failures: what was asked, what came, why it was refused; a maker yields them after its records."""
        raise NotImplementedError


def ask(
    teacher: OpenAI,
    questions: Iterable[Question],
    *,
    context: Context,
    name: str,
    read: Callable[[str, Question], Any],
    total: int | None = None,
) -> Asking:
    """Replies to questions, in order."""
    raise NotImplementedError
