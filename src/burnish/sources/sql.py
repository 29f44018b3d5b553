"""Rows of a database, by a SQLAlchemy url and a query."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from burnish.core.artifacts import Records
from burnish.core.errors import DataError
from burnish.core.records import Reject
from burnish.core.rows import MAX_CHARS, Chunk, Wanted, to_records
from burnish.core.stage import Context, Count, Positive, stage
from burnish.core.tasktypes import targets_of

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

WHERE = "sources.sql.url"
FETCH_ROWS = 1024
KNOWN = (str, bytes, bool, int, float, list, dict, date)
SECRET = re.compile("pass|pwd|secret|token|key|odbc_connect", re.IGNORECASE)
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@stage("sources.sql")
def sql(
    context: Context,
    *,
    url: str,
    query: str,
    as_of: str = "",
    fields: dict[str, str] | None = None,
    name: str = "",
    licence: str = "",
    limit: Count = 0,
    label_names: dict[str, str] | None = None,
    max_chars: Positive = MAX_CHARS,
) -> Records:
    """Read the rows of a query, streamed through a cursor on the server where the database has one.

    The transaction is rolled back at the end. `line` of a record is its row in the result: say ORDER BY for a stable one.

    url: of SQLAlchemy, with secrets as variables of the environment: postgresql://reader:${DB_PASSWORD}@db/shop. A
    password that stands in the url itself is refused: specs, keys and reports are read by others.
    query: the SQL.
    as_of: any text, a date for one. The database is not part of the key: change this to ask it again.
    fields: record field -> column; "" leaves a field unread.
    name: of this source, in every record; the database when empty.
    licence: of the records that do not carry their own.
    limit: records at most; 0 for all.
    label_names: label as it stands in the column -> label; "" for none. A label that is not listed is set aside.
    max_chars: a text of more characters is set aside.
    """
    written, filled, secrets = _filled(url)
    # only the kind and the name of the database are told: host, user and options are nobody's business
    shown = f"{written.get_backend_name()}/{PurePath(written.database or '').name}"
    wanted = Wanted(fields or {}, name or shown, licence, label_names, max_chars, targets_of(context.task))
    return Records.stream(to_records(_rows(filled, query, shown, secrets), wanted, limit=limit))


def _filled(url: str) -> tuple[URL, URL, list[str]]:
    """The url as written, the url with the variables' values, and the values that nobody may see."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    names = VARIABLE.findall(url)
    if missing := [name for name in names if name not in os.environ]:
        raise DataError(f"the environment has no {', '.join(missing)}", where=WHERE, hint=f"export {missing[0]}=...")
    secrets = [os.environ[name] for name in names]

    def fill(part: str) -> str:
        return VARIABLE.sub(lambda found: os.environ[found[1]], part)

    try:
        if VARIABLE.fullmatch(url):
            filled = make_url(os.environ[names[0]])
            written = filled.set(database="")
            return written, filled, [*secrets, *filter(None, [filled.password, filled.username])]
        # a port must be digits before the url can be taken apart
        written = make_url(re.sub(r":\$\{(\w+)\}(?=[/?]|$)", lambda found: f":{os.environ[found[1]]}", url))
    except (ArgumentError, ValueError):
        hint = "sqlite:///shop.db, postgresql://user:${DB_PASSWORD}@host/name"
        raise DataError("this is no database url", where=WHERE, hint=hint) from None
    options = {key: value for key, value in written.query.items() if SECRET.search(key)}
    if any(VARIABLE.sub("", str(value)) for value in [written.password or "", *options.values()]):
        hint = "write ${DB_PASSWORD} in its place and set it in the environment"
        raise DataError("the url holds a password, and specs are read by others", where=WHERE, hint=hint)
    query = {
        key: fill(value) if isinstance(value, str) else tuple(map(fill, value)) for key, value in written.query.items()
    }
    filled = written.set(
        username=fill(written.username) if written.username else None,
        password=fill(str(written.password)) if written.password is not None else None,
        host=fill(written.host) if written.host else None,
        database=fill(written.database) if written.database else None,
        query=query,
    )
    return written, filled, secrets


def _rows(url: URL, query: str, shown: str, secrets: list[str]) -> Iterator[Chunk | Reject]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    number = 0
    try:
        engine = create_engine(url)
        try:
            with engine.connect().execution_options(yield_per=FETCH_ROWS) as connection:
                result = connection.execute(text(query.replace(":", "\\:")))  # a colon in the query names no parameter
                columns = tuple(result.keys())
                if twice := sorted({one for one in columns if columns.count(one) > 1}):
                    raise DataError(
                        f"two columns are named {', '.join(twice)}", where=shown, hint="say AS in the query"
                    )
                for rows in result.partitions():
                    values = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
                    yield Chunk(shown, list(range(number + 1, number + len(rows) + 1)), values, columns=columns)
                    number += len(rows)
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        said = str(getattr(error, "orig", None) or error).split("\n(Background")[0]
        for secret in filter(None, secrets):
            said = said.replace(secret, "***")
        # `from None`: a traceback would show the url
        raise DataError(
            f"the database says: {said}", where=shown, hint="check the url, its driver and the query"
        ) from None


def _plain(value: Any) -> Any:
    """What drivers give beyond JSON: exact decimals, UUIDs and the like become numbers and strings."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if value is None or isinstance(value, KNOWN) else str(value)
