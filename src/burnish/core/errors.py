"""What can go wrong, and who has to act.

BurnishError        the user can mend it; `hint` says how
+ SpecError         the spec: file, line, what was found, what would do; holds every problem found
+ DataError         a file of records: file, line or field
+ MissingExtra      a library that an optional part needs
+ WeightsError      weights that cannot be had, or whose checksum is wrong
+ GateError         a gate of the spec does not hold
"""

from __future__ import annotations

from dataclasses import dataclass


class BurnishError(Exception):
    """Every error a user can cause and can mend. `hint` says how, `where` names file and line."""

    exit_code = 1

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        self.message, self.where, self.hint = message, where, hint
        super().__init__(message)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a spec: its 1-based line, what is wrong, and what would do."""

    line: int
    message: str
    hint: str = ""

    def show(self, file: str) -> str:
        return f"{file}:{self.line}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class SpecError(BurnishError):
    """The spec is not well formed; `problems` holds every mistake found, not only the first."""

    exit_code = 2

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file, self.problems = file, sorted(problems)
        count = len(problems)
        super().__init__(
            "\n".join(
                [f"{count} problem{'s' if count != 1 else ''} in {file}", *(f"  {p.show(file)}" for p in self.problems)]
            )
        )


class UsageError(BurnishError):
    """A command was called with arguments that do not fit."""

    exit_code = 2


class DataError(BurnishError):
    """A record, or a file of records, breaks what the task or the format asks for."""


class MissingExtra(BurnishError):
    """An optional library is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}'", hint=f"pip install 'burnish[{extra}]'")


class WeightsError(BurnishError):
    """Weights cannot be fetched, read or trusted."""


class GateError(BurnishError):
    """A gate of the spec does not hold: the build stops here, on purpose."""

    exit_code = 3
