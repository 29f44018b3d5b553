"""Bodies in and out: JSON read with a word on what is wrong, and errors in the shape that the asked protocol has."""

from __future__ import annotations

import json
from typing import Any, Protocol

from burnish.serve.protocol import Request, Response

OPENAI_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An answer that is not 200: status, a type a program can switch on, a message for its author."""

    def __init__(self, status: int, kind: str, message: str, *headers: tuple[str, str]) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.headers = status, kind, message, headers


class Shape(Protocol):
    """How a protocol says that something went wrong."""

    def __call__(self, status: int, kind: str, message: str) -> tuple[int, Any]: ...


def burnish_error(status: int, kind: str, message: str) -> tuple[int, Any]:
    """The shape of /v1/predict and of everything else of ours."""
    return status, {"error": {"type": kind, "message": message}}


def inference_error(status: int, kind: str, message: str) -> tuple[int, Any]:
    """Open Inference Protocol: one string; what cannot be read is 400."""
    return 400 if status == 422 else status, {"error": message}


def openai_error(status: int, kind: str, message: str) -> tuple[int, Any]:
    """OpenAI: its few types, our kind as `code`; what cannot be read is 400."""
    status = 400 if status == 422 else status
    kinds = OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return status, {"error": {"message": message, "type": kinds, "param": None, "code": kind}}


def error_response(shape: Shape, error: ApiError) -> Response:
    status, body = shape(error.status, error.kind, error.message)
    return Response(status, as_json(body), headers=error.headers)


def read_json(request: Request, example: str) -> dict[str, Any]:
    """The JSON object in a body. example: what one looks like, for the error of who sends something else."""
    headers = request.headers
    if b"content-length" not in headers and b"transfer-encoding" not in headers:
        raise ApiError(411, "length_required", "send Content-Length")
    if b"inference-header-content-length" in headers:
        raise ApiError(
            415, "unsupported_media_type", "tensors in binary after the JSON are not read: send them as JSON"
        )
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise ApiError(415, "unsupported_media_type", "send Content-Type: application/json")
    try:
        value = json.loads(request.body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ApiError(400, "bad_json", f"the body is not UTF-8: byte {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ApiError(400, "bad_json", f"the body is not JSON: {error.msg} at {place}") from None
    except (RecursionError, ValueError) as error:  # nested too deep, or a number of more digits than Python reads
        raise ApiError(400, "bad_json", f"the body is not usable JSON: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise ApiError(422, "invalid_request", f"the body must be an object: {example}")
    return value


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
