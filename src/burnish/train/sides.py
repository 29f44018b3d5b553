"""Tables of records as the network reads them, one way for every side of a split."""

from __future__ import annotations

import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.core.artifacts import Split
from burnish.core.errors import BurnishError
from burnish.core.tasktypes import open_task
from burnish.nn.examples import Examples
from burnish.nn.first_look import longest

SHOWN = 512  # of them, whose states a fresh head starts from
LOOKED_AT = 20_000  # training records that decide the length


class Sides:
    """The training and validation side of a split, encoded for one task and backbone.

    task: settled by the training records, as it is from here on. max_length: tokens of a window; "auto" holds 99% of the texts whole, within what the backbone can read.
    beside: places that a strategy takes. soft: targets say how sure the labels are. why: the reason for max_length.
    """

    def __init__(
        self, task: Any, folder: Path, split: Split, *, max_length: int | str, soft: bool, beside: int = 0
    ) -> None:
        from transformers import AutoTokenizer

        from burnish.nn.embeddings import about
        from burnish.nn.training import auto_max_length

        self.task, self.soft = task, soft
        self.made: pa.Table | None = None  # records that augmentation adds to what is taught, and to nothing else
        self._train, self._validation = split.train, split.validation
        self.task = task = open_task(task.settle(self.table))
        self.tokenizer: Any = task.tokenizer(AutoTokenizer.from_pretrained(folder))
        self.centred = bool(about(folder).get("centred"))
        limit = longest(folder, self.tokenizer) - beside
        if max_length == "auto":
            whole = task.examples(self.table.slice(0, LOOKED_AT), self.tokenizer, max_length=limit, soft=soft)
            lengths = whole.lengths if whole.output is None else np.maximum(whole.lengths, whole.output.lengths)
            self.max_length, self.why = auto_max_length(lengths, limit=limit)
        else:
            self.max_length, self.why = min(int(max_length), limit), "asked for"

    @cached_property
    def table(self) -> pa.Table:
        """The labelled records of the training side."""
        return self.labelled(self._train.table())

    @cached_property
    def validation_table(self) -> pa.Table:
        """The labelled records of the validation side."""
        return self.labelled(self._validation.table())

    def labelled(self, table: pa.Table) -> pa.Table:
        """The records of a table that have a target."""
        return table.filter(pa.array(self.task.labelled(table)))

    def examples(self, table: pa.Table) -> Examples:
        """Labelled records with their targets."""
        made: Examples = self.task.examples(table, self.tokenizer, max_length=self.max_length, soft=self.soft)
        return made

    def train(self) -> Examples:
        """The training side. Raises BurnishError when nothing in it has a label."""
        if len(self.table) == 0:
            raise BurnishError(
                "no labelled record is left to train on",
                hint="see construct/labellers.json: which labellers vote at all?",
            )
        from burnish.nn.weighing import repeated, weights_of

        weights = weights_of(self.taught["meta"].to_pylist())
        made = self.examples(self.taught)
        if (weights == 1).all():
            return made
        if made.records is not None or made.groups is not None or len(made) != len(weights):
            raise BurnishError(
                "records were weighed, and this task reads a record in several windows or several in one group",
                hint="quality.curate.actions: report, or name the checks whose remedy is another one",
            )
        return made.take(repeated(weights, seed=0))

    @property
    def taught(self) -> pa.Table:
        """The labelled records of the training side with those that augmentation made, as `train` gives them."""
        return self.table if self.made is None else pa.concat_tables([self.table, self.made])

    def part(self, table: pa.Table, validation: pa.Table, made: pa.Table | None) -> Sides:
        """Sides of fewer records, read in the same way: task, tokenizer and length are those of the whole."""
        fewer = copy.copy(self)
        fewer.__dict__ |= {"table": table, "validation_table": validation, "made": made}
        return fewer

    def prepare(self, model: Any) -> None:
        """Show a fresh head what the encoder gives for some training texts, so that it starts where those lie.

        A head over tokens standardises their states; one over whole texts starts at the deviation from the mean text,
        where all texts of the encoder look alike (e5).
        """
        if not len(self.table):
            return
        from burnish.nn.first_look import shown

        table = self.table.slice(0, SHOWN)
        sample = self.task.encode(self.task.inputs(table), self.tokenizer, max_length=self.max_length)
        shown(model, sample, pad_token=int(self.tokenizer.pad_token_id or 0), centred=self.centred)
