"""The Open Inference Protocol, version 2, over HTTP and JSON (github.com/kserve/open-inference-protocol).

Every field of an input is a tensor of BYTES, [n] or [n, 1], one element an input: text as it is, anything else as JSON;
or one tensor `inputs` holds whole inputs as JSON. The answer of each input comes back as JSON in `answer`, and where the
task's answers have them, `label` and `text` as BYTES, `score` as FP64 [n], `scores` as FP64 [n, labels]; there an answer
without one ("no answer in this context") has "" or 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from burnish import __version__
from burnish.serve.bodies import ApiError, as_json, inference_error, read_json
from burnish.serve.inputs import ascii_of
from burnish.serve.models import ServedModel
from burnish.serve.protocol import Request, Response

if TYPE_CHECKING:
    from burnish.serve.api import Api, Route

EXAMPLE = '{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["..."]}]}'
WHOLE = "inputs"  # the tensor of whole inputs as JSON
DATATYPES = {"label": "BYTES", "text": "BYTES", "score": "FP64", "scores": "FP64"}
HOLDS = {"label": str, "text": str, "score": float, "scores": dict}


def routes(api: Api) -> list[Route]:
    """All the protocol asks for; health is answered without a token."""
    from burnish.serve.api import Route

    def route(method: str, path: str, answer: Any, *, open: bool = False) -> Route:
        return Route(method, path, answer, open=open, shape=inference_error)

    async def server(request: Request) -> Response:
        return Response(200, as_json({"name": "burnish", "version": __version__, "extensions": []}))

    async def live(request: Request) -> Response:
        return Response(200, b'{"live":true}')

    async def ready(request: Request) -> Response:
        api.check_ready()
        return Response(200, b'{"live":true,"ready":true}')

    def chosen(request: Request, name: str, version: str | None) -> ServedModel:
        model = api.model(name, request)
        if version is not None and version != model.version:
            message = (
                f"no version {ascii_of(version)} of {model.name}; served is {model.version or 'one without a version'}"
            )
            raise ApiError(404, "unknown_version", message)
        return model

    async def metadata(request: Request, name: str, version: str | None = None) -> Response:
        return Response(200, as_json(described(chosen(request, name, version))))

    async def model_ready(request: Request, name: str, version: str | None = None) -> Response:
        model = chosen(request, name, version)
        api.check_ready()
        return Response(200, as_json({"name": model.name, "ready": True}))

    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        model = chosen(request, name, version)
        body = read_json(request, EXAMPLE)
        if unknown := sorted(body.keys() - {"id", "parameters", "inputs", "outputs"}):
            raise ApiError(422, "invalid_request", f"unknown field {ascii_of(unknown[0])}")
        if not isinstance(body.get("id", ""), str):
            raise ApiError(422, "invalid_request", "id must be a string")
        wanted = asked_outputs(body.get("outputs"), model)
        inputs, tokens = api.read_inputs(model, inputs_of(body.get("inputs"), model))
        answers = await api.compute(model.batcher, inputs, tokens)
        answer: dict[str, Any] = {"model_name": model.name}
        if model.version:
            answer["model_version"] = model.version
        if "id" in body:
            answer["id"] = body["id"]
        return Response(200, as_json(answer | {"outputs": tensors_of(answers, model, wanted)}))

    both = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
    return [
        route("GET", "/v2", server),
        route("GET", "/v2/health/live", live, open=True),
        route("GET", "/v2/health/ready", ready, open=True),
        *(route("GET", path, metadata) for path in both),
        *(route("GET", path + "/ready", model_ready) for path in both),
        *(route("POST", path + "/infer", infer) for path in both),
    ]


def described(model: ServedModel) -> dict[str, Any]:
    """The metadata of a model: the tensors of the chief form of its inputs, and those of its answers."""
    fields = model.inputs.forms[0].fields if model.inputs.forms else (WHOLE,)
    made: dict[str, Any] = {"name": model.name}
    if model.version:
        made["versions"] = [model.version]
    made["platform"] = "onnx_onnxruntime" if model.format == "onnx" else "pytorch"
    made["inputs"] = [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in fields]
    made["outputs"] = [_tensor_info(name, model) for name in outputs_of(model)]
    return made


def outputs_of(model: ServedModel) -> list[str]:
    """Names of the tensors that a model answers with."""
    return ["answer", *(name for name, kind in HOLDS.items() if isinstance(model.sample.get(name), kind))]


def _tensor_info(name: str, model: ServedModel) -> dict[str, Any]:
    shape = [-1, len(model.sample["scores"])] if name == "scores" else [-1]
    return {"name": name, "datatype": DATATYPES.get(name, "BYTES"), "shape": shape}


def asked_outputs(asked: Any, model: ServedModel) -> list[str]:
    """Names of the tensors to answer with."""
    known = outputs_of(model)
    if asked is None:
        return known
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise ApiError(422, "invalid_request", "outputs must be a list of objects with a name")
    for one in asked:
        if one.get("name") not in known:
            shown = ascii_of(str(one.get("name")))
            raise ApiError(422, "invalid_request", f"no output {shown}; {model.name} has {', '.join(known)}")
    return [one["name"] for one in asked] or known


def inputs_of(tensors: Any, model: ServedModel) -> list[Any]:
    """Tensors of a request as inputs, one an element."""
    if not isinstance(tensors, list) or not tensors or not all(isinstance(one, dict) for one in tensors):
        raise ApiError(422, "invalid_inputs", f"inputs must be a list of tensors: {EXAMPLE}")
    columns: dict[str, list[str]] = {}
    for tensor in tensors:
        name, elements = elements_of(tensor)
        if name in columns:
            raise ApiError(422, "invalid_inputs", f"two tensors are called {ascii_of(name)}")
        columns[name] = elements
    sizes = {name: len(elements) for name, elements in columns.items()}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{ascii_of(name)} {size}" for name, size in sizes.items())
        raise ApiError(422, "invalid_inputs", f"the tensors differ in their number of elements: {shown}")
    if WHOLE in columns:
        if len(columns) > 1:
            raise ApiError(422, "invalid_inputs", f"{WHOLE} holds whole inputs: it stands alone")
        return [_parsed(f"inputs[{index}]", element) for index, element in enumerate(columns[WHOLE])]
    texts = {
        "text",
        "text_b",
        *(k for form in model.inputs.forms for k, v in form.sample.items() if isinstance(v, str)),
    }
    made = []
    for index in range(next(iter(sizes.values()))):
        one = {
            name: elements[index] if name in texts else _parsed(f"inputs[{index}].{name}", elements[index])
            for name, elements in columns.items()
        }
        made.append(one)
    return made


def elements_of(tensor: dict[str, Any]) -> tuple[str, list[str]]:
    """Name and elements of a tensor of BYTES: its data flat or as nested as its shape."""
    name = tensor.get("name")
    if not isinstance(name, str):
        raise ApiError(422, "invalid_inputs", "a tensor has no name")
    at = f"tensor {ascii_of(name)}"
    if tensor.get("datatype") != "BYTES":
        raise ApiError(422, "invalid_inputs", f"{at}: datatype must be BYTES")
    shape, data = tensor.get("shape"), tensor.get("data")
    sizes = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not sizes or not shape or any(size != 1 for size in shape[1:]):
        raise ApiError(422, "invalid_inputs", f"{at}: shape must be [n] or [n, 1]")
    if not isinstance(data, list):
        raise ApiError(422, "invalid_inputs", f"{at}: data must be a list of strings")
    flat = data
    for _ in shape[1:]:
        if all(isinstance(one, list) and len(one) == 1 for one in flat):
            flat = [one[0] for one in flat]
    if not all(isinstance(one, str) for one in flat):
        raise ApiError(422, "invalid_inputs", f"{at}: data must be strings")
    if len(flat) != math.prod(shape):
        raise ApiError(
            422, "invalid_inputs", f"{at}: shape {shape} asks for {math.prod(shape)} elements, data has {len(flat)}"
        )
    return name, flat


def _parsed(at: str, element: str) -> Any:
    try:
        return json.loads(element)
    except (ValueError, RecursionError) as error:
        raise ApiError(422, "invalid_inputs", f"{at} is not JSON: {error}") from None


def tensors_of(answers: Sequence[dict[str, Any]], model: ServedModel, wanted: Sequence[str]) -> list[dict[str, Any]]:
    """Answers as tensors, in the order they were asked for."""
    made = []
    for name in wanted:
        info = _tensor_info(name, model) | {"shape": [len(answers)]}
        if name == "answer":
            info["data"] = [json.dumps(answer, ensure_ascii=False) for answer in answers]
        elif name == "scores":
            labels = list(model.sample["scores"])
            info |= {
                "shape": [len(answers), len(labels)],
                "parameters": {"labels": json.dumps(labels, ensure_ascii=False)},
                "data": [(answer.get("scores") or {}).get(label, 0.0) for answer in answers for label in labels],
            }
        elif name == "score":
            info["data"] = [answer.get(name) or 0.0 for answer in answers]
        else:
            info["data"] = [answer.get(name) or "" for answer in answers]
        made.append(info)
    return made
