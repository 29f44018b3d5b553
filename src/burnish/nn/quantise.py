"""Weights in eight bits."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Bytes of weights from which they lie in a file of their own beside the graph, NAME.onnx.data: one message of protobuf ends
# at 2 GiB, and ONNX Runtime, which then reads the weights straight from the file, never holds two copies of them.
MOST_INSIDE = 1 << 30


def int8(onnx_in: Path, onnx_out: Path) -> Path:
    """Store the matrices of an ONNX file, the embedding table too, in eight bits.

    Weights get one scale per output channel (per-channel kept 88.9% of labels out of domain where one scale a
    matrix kept 70.4%; 99.0 and 97.8% in domain: CLINC150), activations one scale per batch, found at run time.
    So a score depends, in the third digit, on the texts it shares a batch with.
    Signed weights: unsigned ones run at a third of the speed on processors with int8 instructions.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    onnx_in, onnx_out = Path(onnx_in), Path(onnx_out)
    graph = onnx.load(str(onnx_in))
    _turn(graph.graph)
    temporary = onnx_out.with_name(onnx_out.name + ".tmp")
    with quiet():
        quantize_dynamic(
            graph,
            str(temporary),
            op_types_to_quantize=["MatMul", "Gather"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            # a product of two activations (attention) has no weight to store, and loses accuracy
            extra_options={"MatMulConstBOnly": True},
        )
    temporary.replace(onnx_out)
    onnx_out.with_name(f"{onnx_out.name}.data").unlink(missing_ok=True)  # of the larger file that was here before
    return onnx_out


BLOCK = 32  # weights that share a scale


def blocks(onnx_in: Path, onnx_out: Path) -> Path:
    """Store the matrices of an ONNX file in eight bits, one scale for every 32 weights of a row of the product.

    For networks that write: numbers are rounded for each token by itself, 32 at a time, so that who shares a batch changes no
    answer, and the few very large ones of a llama stay alone. On SmolLM2 logits move by 2.2 where one scale a batch moves them
    by 22; a small translator's by 0.15 and 0.34. The table of words that is looked up stays in single precision.
    """
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    onnx_in, onnx_out = Path(onnx_in), Path(onnx_out)
    graph = onnx.load(str(onnx_in))
    _turn(graph.graph)
    settings = {"block_size": BLOCK, "is_symmetric": True, "accuracy_level": 4}  # 4: products of eight bits
    with quiet():
        quantiser = MatMulNBitsQuantizer(
            graph, bits=8, algo_config=DefaultWeightOnlyQuantConfig(bits=8, **settings), **settings
        )
        quantiser.process()
    made = quantiser.model.model
    large = sum(len(one.raw_data) for one in made.graph.initializer) > MOST_INSIDE
    temporary, beside = (onnx_out.with_name(f"{onnx_out.name}{end}") for end in (".tmp", ".data"))
    beside.unlink(missing_ok=True)  # of the larger file that was here before, and is in memory now
    onnx.save(made, str(temporary), save_as_external_data=large, location=beside.name)
    temporary.replace(onnx_out)
    return onnx_out


def _turn(graph: Any) -> None:
    """Store weights that a graph turns round at every run as they are multiplied, for only what is stored is quantised.

    They are the words of a model that writes, which it also looks up: a quarter of its weights.
    """
    from onnx import numpy_helper

    stored = {one.name: one for one in graph.initializer}
    turns = [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in stored]
    for node in turns:
        values = numpy_helper.to_array(stored[node.input[0]])
        axes = next((list(one.ints) for one in node.attribute if one.name == "perm"), None)
        graph.initializer.append(numpy_helper.from_array(values.transpose(axes).copy(), node.output[0]))
        graph.node.remove(node)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what exporter and quantiser say about themselves (renamed axes, advice) off the user's screen."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
