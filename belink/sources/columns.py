"""Rows of many tables → columns, handed to a release from a thread of their own while the reader goes on.

For readers whose parsing takes the time: a Concept and a Name object a record and term would take longer than that.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from belink.release_writer import SCHEMA, ReleaseWriter

_WORDS = {"BOOLEAN": "bool", "BIGINT": "int64", "VARCHAR": "string"}  # DuckDB → Arrow


class Columns:
    """The tables of a release being gathered; used by one thread, which leaves the release alone meanwhile.

    ``rows[table]`` takes tuples in the order of :data:`belink.release_writer.SCHEMA`. The declaration's filters are
    the reader's.
    """

    def __init__(self, into: ReleaseWriter) -> None:
        self.rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in SCHEMA}
        self._into = into
        self._thread = ThreadPoolExecutor(1, "rows")
        self._sent: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.send()
                self._wait()
        finally:
            self._thread.shutdown()

    def send(self) -> None:
        """Hand over what was gathered; waits for what was handed over before, so that memory stays bounded."""
        self._wait()
        gathered = {table: rows for table, rows in self.rows.items() if rows}
        for table in gathered:
            self.rows[table] = []
        self._sent = self._thread.submit(self._insert, gathered)

    def _wait(self) -> None:
        if self._sent is not None:
            self._sent.result()

    def _insert(self, gathered: dict[str, list[tuple[Any, ...]]]) -> None:
        import pyarrow as pa

        for table, rows in gathered.items():
            columns = zip(SCHEMA[table].items(), zip(*rows, strict=True), strict=True)
            arrays = {name: pa.array(values, _WORDS[kind.split()[0]]) for (name, kind), values in columns}
            self._into.insert(table, pa.table(arrays))
