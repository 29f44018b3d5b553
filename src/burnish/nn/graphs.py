"""ONNX programs as files: exported quietly, whole or not at all, and past the two gigabytes that protobuf can hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from burnish.core.errors import BurnishError
from burnish.nn.quantise import MOST_INSIDE

OPSET = 20  # the first with Gelu as one operator: int8 inference 1.16 times as fast as at 18, where it is five nodes


def program_of(
    module: nn.Module, given: tuple[Any, ...], *, inputs: Sequence[str], outputs: Sequence[str], free: Any
) -> Any:
    """What the exporter makes of a module that takes and gives tensors by position.

    free: of torch.export's dynamic shapes. Raises BurnishError for a network that it cannot follow.
    """
    try:
        program = torch.onnx.export(
            module,
            given,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamic_shapes=free,
            dynamo=True,
            verbose=False,
        )
    except Exception as error:  # the exporter raises a dozen kinds, none of them public
        raise BurnishError(
            f"this network cannot be exported to ONNX: {_first_line(error)}",
            hint="serve it with PyTorch (compress: []), or choose another backbone",
        ) from error
    assert program is not None  # it is None only when a file was asked for
    return program


def write(program: Any, path: Path) -> Path:
    """Write a program; weights of more than MOST_INSIDE bytes go to `path`.data. The graph, which names them, comes last."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        _write(program, path, temporary)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _write(program: Any, path: Path, temporary: Path) -> None:
    import onnx
    import onnx_ir

    weights = sum(one.const_value.nbytes for one in program.model.graph.initializers.values())
    if weights > MOST_INSIDE:
        onnx_ir.save(program.model, temporary, external_data=f"{path.name}.data")
        graph = onnx.load(str(temporary), load_external_data=False)
    else:
        graph = program.model_proto
    # the exporter's intermediate shapes contradict those that ONNX infers once a Gemm has been rewritten: the
    # quantiser stops on them, and nothing needs them
    del graph.graph.value_info[:]
    for node in graph.graph.node:  # where in which source each came from: more bytes than a small network's weights
        del node.metadata_props[:]
        node.ClearField("doc_string")
    with temporary.open("wb") as file:
        file.write(graph.SerializeToString())
        file.flush()
        os.fsync(file.fileno())
    onnx.checker.check_model(
        str(temporary), full_check=True
    )  # by its name: a message in memory may hold no more than 2 GiB
    temporary.replace(path)


def session_of(path: Path) -> Any:
    """The file as ONNX Runtime computes it here, for a look at what was just written."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def forget(path: Path) -> None:
    """Take a file that turned out wrong away again, with its weights."""
    for one in (path, path.with_name(f"{path.name}.data")):
        one.unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    deepest = error
    while deepest.__cause__ is not None:  # the exporter wraps the reason in advice about itself
        deepest = deepest.__cause__  # type: ignore[assignment]
    lines = [line.strip() for line in str(deepest).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(deepest).__name__
