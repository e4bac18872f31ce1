"""Counters for Prometheus; every service has its own registry."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from belink.records import Link
from belink.serve.following import Served

# Up to the default time limit of a request. Prometheus's default buckets end at 10 seconds.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        # Not the library's global registry, which refuses the same counter twice when tests make several services.
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "belink_requests", "Requests answered.", ("path", "method", "status"), registry=self.registry
        )
        self._request_seconds = Histogram(
            "belink_request_seconds", "Time to answer.", ("path",), buckets=_SECONDS, registry=self.registry
        )
        self._mentions = Counter(
            "belink_mentions", "Mentions linked.", ("decided_by", "answer"), registry=self.registry
        )
        self._model_seconds = Counter("belink_linking_seconds", "Time spent linking.", registry=self.registry)
        self._following = Counter(
            "belink_following", "Events of following the alias: swapped, refused, unreachable.", ("event",),
            registry=self.registry,
        )  # fmt: skip
        self._champion = Gauge(
            "belink_champion", "The version that answers: 1.", ("linker", "version", "releases"), registry=self.registry
        )
        self._refused = Gauge("belink_refused", "1 while the alias names a refused version.", registry=self.registry)
        self._depth = Gauge("belink_open_requests", "Requests waiting or being linked.", registry=self.registry)
        # A series that starts at 0 lets `rate()` see the first event.
        for event in ("swapped", "refused", "unreachable"):
            self._following.labels(event)

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """Count one request; ``path`` is the route's, not what was asked for."""
        self._requests.labels(path, method, str(status)).inc()
        self._request_seconds.labels(path).observe(seconds)

    def linked(self, links: Sequence[Link], seconds: float) -> None:
        """Count the links of one slice."""
        for link in links:
            self._mentions.labels(link.decided_by, "nil" if link.candidate is None else "concept").inc()
        self._model_seconds.inc(seconds)

    def happened(self, event: str) -> None:
        """Count one event of following the alias."""
        self._following.labels(event).inc()

    def page(self, served: Sequence[Served], refused: bool, depth: int) -> bytes:
        """Return all metrics in the text format of Prometheus.

        :param refused: whether an alias names a refused version.
        :param depth: requests that are waiting or being linked.
        """
        # Labels of a version that no longer answers would stay at 1 otherwise.
        self._champion.clear()
        for each in served:
            lineage = each.linker.lineage
            self._champion.labels(lineage["linker"], each.version, lineage["releases"]).set(1)
        self._refused.set(int(refused))
        self._depth.set(depth)
        return generate_latest(self.registry)


Observe = Callable[[str, str, int, float], None]
"""Called for each request with route, method, status and seconds."""
