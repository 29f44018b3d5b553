"""Files as other tools write them, as a source: formats reads them; here they become a stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from burnish.core.artifacts import Records
from burnish.core.rows import MAX_CHARS
from burnish.core.stage import Context, Count, Positive, stage
from burnish.formats.base import FORMATS
from burnish.formats.guess import guessed, read_records


@stage("sources.import")
def imported(
    context: Context,
    *,
    path: Path,
    format: Annotated[Any, FORMATS] = "auto",
    name: str = "",
    licence: str = "",
    limit: Count = 0,
    label_names: dict[str, str] | None = None,
    max_chars: Positive = MAX_CHARS,
) -> Records:
    """Read files as other tools write them: chats, pairs, CoNLL, SQuAD, spaCy, doccano, Label Studio and more.

    path: a file, a folder or a glob; read in sorted order.
    format: which one, with settings of its own, as {use: conll, tag: 2}; "auto" tells by what stands in the file, and says why.
    name: of this source, in every record; the path when empty.
    licence: of the records that do not carry their own.
    limit: records at most; 0 for all.
    label_names: label as it stands in the file -> label; "" for none. A label that is not listed is set aside.
    max_chars: a text of more characters is set aside.
    """
    [part] = FORMATS.open(format)
    if part.name == "auto":
        part, why = guessed(path)
        context.progress.tell(f"  {path.name}: read as {part.name}, for {why}")
    return Records.stream(
        read_records(
            path, part, source=name, licence=licence, limit=limit, max_chars=max_chars, label_names=label_names,
            base=context.base,
        )
    )  # fmt: skip
