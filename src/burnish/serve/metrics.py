"""What the server counts, in Prometheus' text format 0.0.4."""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from collections.abc import Iterable

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Histogram:
    def __init__(self, bounds: Iterable[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str = "") -> Iterable[str]:
        """Cumulative buckets, then sum and count."""
        seen = 0
        comma = f"{labels}," if labels else ""
        braces = f"{{{labels}}}" if labels else ""
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            seen += count
            yield f'{name}_bucket{{{comma}le="{bound}"}} {seen}'
        yield f"{name}_sum{braces} {self.total:.6f}"
        yield f"{name}_count{braces} {seen}"


class Metrics:
    """Counters of one server. `request` is called from the event loop, `batch` from the sessions' threads."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.errors: Counter[str] = Counter()
        self.latency = Histogram(LATENCY_S)
        self.asked: Counter[tuple[str, str, int]] = Counter()  # of a model: route, status
        self.took: dict[str, Histogram] = {}
        self.batches: dict[str, Histogram] = {}
        self.compute_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def request(self, route: str, status: int, seconds: float) -> None:
        self.requests[route, status] += 1
        if route == "/v1/predict":
            self.latency.add(seconds)

    def answered(self, model: str, route: str, status: int, seconds: float) -> None:
        """A request to one model."""
        self.asked[model, route, status] += 1
        self.took.setdefault(model, Histogram(LATENCY_S)).add(seconds)

    def error(self, kind: str) -> None:
        self.errors[kind] += 1

    def batch(self, model: str, texts: int, seconds: float) -> None:
        with self._lock:
            self.batches.setdefault(model, Histogram(BATCH_TEXTS)).add(texts)
            self.compute_s[model] = self.compute_s.get(model, 0.0) + seconds

    def page(self, *, queued: dict[str, int], in_flight: int, connections: int) -> str:
        """Everything counted so far; queued: inputs that wait, by model."""
        lines = ["# HELP burnish_requests_total Requests answered.", "# TYPE burnish_requests_total counter"]
        lines += [
            f'burnish_requests_total{{route="{_escape(route)}",status="{status}"}} {count}'
            for (route, status), count in sorted(self.requests.items())
        ]
        lines += ["# HELP burnish_errors_total Errors answered, by type.", "# TYPE burnish_errors_total counter"]
        lines += [f'burnish_errors_total{{type="{_escape(kind)}"}} {n}' for kind, n in sorted(self.errors.items())]
        lines += [
            "# HELP burnish_request_seconds Time from the last byte of a prediction request to its answer.",
            "# TYPE burnish_request_seconds histogram",
            *self.latency.lines("burnish_request_seconds"),
            "# HELP burnish_model_requests_total Requests to a model.",
            "# TYPE burnish_model_requests_total counter",
            *(
                f'burnish_model_requests_total{{model="{_escape(model)}",route="{_escape(route)}",status="{status}"}} {count}'
                for (model, route, status), count in sorted(self.asked.items())
            ),
            "# HELP burnish_model_request_seconds Time to the answer of a model, of a stream to its beginning.",
            "# TYPE burnish_model_request_seconds histogram",
            *(
                line
                for model, took in sorted(self.took.items())
                for line in took.lines("burnish_model_request_seconds", f'model="{_escape(model)}"')
            ),
            "# HELP burnish_batch_texts Inputs in a batch.",
            "# TYPE burnish_batch_texts histogram",
        ]
        with self._lock:
            for model, batches in sorted(self.batches.items()):
                lines += batches.lines("burnish_batch_texts", f'model="{_escape(model)}"')
            lines += [
                "# HELP burnish_compute_seconds_total Time in the model.",
                "# TYPE burnish_compute_seconds_total counter",
            ]
            lines += [
                f'burnish_compute_seconds_total{{model="{_escape(model)}"}} {seconds:.6f}'
                for model, seconds in sorted(self.compute_s.items())
            ]
        lines += ["# HELP burnish_queue_texts Inputs that wait.", "# TYPE burnish_queue_texts gauge"]
        lines += [f'burnish_queue_texts{{model="{_escape(model)}"}} {count}' for model, count in sorted(queued.items())]
        lines += [
            "# HELP burnish_in_flight_requests Requests being answered.",
            "# TYPE burnish_in_flight_requests gauge",
            f"burnish_in_flight_requests {in_flight}",
            "# HELP burnish_connections Open connections.",
            "# TYPE burnish_connections gauge",
            f"burnish_connections {connections}",
        ]
        return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
