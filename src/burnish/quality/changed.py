"""Records as a remedy leaves them: the one place where findings become changes of a table."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from burnish.quality.remedies import Remedy, redacted

CHANGED = ("text", "text_b", "label", "probs", "label_from", "meta")


def changed(table: pa.Table, one: Remedy, labels: tuple[str, ...], *, start: int = 0) -> pa.Table:
    """The table with labels, weights and texts changed; rows that are dropped are still there.

    Row numbers of the remedy count from `start`. A reweighed record carries `weight` in its meta; a relabelled or softened
    one says so in label_from.
    """
    here = [at for at in range(table.num_rows) if start + at in one.touched and start + at not in one.dropped]
    if not here:
        return table
    columns = {name: table[name].to_pylist() for name in CHANGED if name in table.column_names}
    for at in here:
        change(columns, at, start + at, one, labels)
    for name, values in columns.items():
        field = table.schema.get_field_index(name)
        table = table.set_column(field, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    return table


def change(columns: dict[str, list[Any]], at: int, row: int, one: Remedy, labels: tuple[str, ...]) -> list[str]:
    """Change one row in place; what was done, for its trail."""
    done = []
    old = columns["label"][at]
    if row in one.label:
        columns["label"][at], columns["probs"][at] = one.label[row], None
        columns["label_from"][at] = "quality.curate:relabel"
        done.append(f"relabel {old} to {one.label[row]}")
    if row in one.shares:
        shares = one.shares[row]
        columns["probs"][at] = [shares.get(label, 0.0) for label in labels]
        columns["label"][at] = max(shares, key=lambda label: (shares[label], label == old))
        columns["label_from"][at] = "quality.curate:soften"
        done.append(f"soften {old} to {next(label for label in shares if label != old)}")
    if row in one.weight:
        meta = json.loads(columns["meta"][at]) if columns["meta"][at] else {}
        columns["meta"][at] = json.dumps(
            meta | {"weight": round(one.weight[row], 4)}, ensure_ascii=False, sort_keys=True
        )
        done.append(f"reweigh to {one.weight[row]:.2f}")
    if row in one.redacted:
        for name in ("text", "text_b"):
            if name in columns and columns[name][at]:
                columns[name][at] = redacted(columns[name][at])
        done.append("redact")
    return done
