"""No request is left without an answer, whenever the service stops."""

import threading
from types import SimpleNamespace

from belink.serve.batching import Batcher, Closed


def test_a_request_that_comes_while_the_service_stops_is_answered() -> None:
    batcher = Batcher(lambda: None, waiting=4)
    closing = threading.Thread(target=batcher.close)

    def acquire(*, blocking: bool) -> bool:
        # Between the look whether the service is open and the place in the queue.
        closing.start()
        closing.join(timeout=0.5)
        return True

    batcher._places = SimpleNamespace(acquire=acquire, release=lambda: None)  # type: ignore[assignment]
    future = batcher.ask(lambda _: None)
    assert isinstance(future.exception(timeout=20), Closed)
    closing.join(timeout=20)
    assert not closing.is_alive() and batcher.depth == 0
