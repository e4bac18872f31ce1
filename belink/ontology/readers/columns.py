"""Columns of many tables, collected by a reader and handed to a release from a thread of their own.

For readers whose time goes into parsing: an object, or even a tuple, for each row would take longer than the parsing.
"""

import gc
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from belink.ontology.release_writer import SCHEMA, ReleaseWriter

_WORDS = {"BOOLEAN": "bool", "BIGINT": "int64", "VARCHAR": "string"}  # DuckDB → Arrow


class Columns:
    """The tables of a release while they are collected; used by one thread, which leaves the release alone meanwhile.

    ``of[table][column]`` is the list that the value of a row is appended to; it stays the same list. Columns in
    ``constant`` have one value in every row and no list. Filtering by the declaration is left to the reader.
    """

    def __init__(self, into: ReleaseWriter, constant: Mapping[str, Mapping[str, Any]]) -> None:
        self.of: dict[str, dict[str, list[Any]]] = {
            table: {column: [] for column in columns if column not in constant.get(table, {})}
            for table, columns in SCHEMA.items()
        }
        self._constant = constant
        self._into = into
        self._thread = ThreadPoolExecutor(1, "columns")
        self._sent: Future[None] | None = None

    def __enter__(self) -> Self:
        # The lists grow by millions of strings, which the collector would walk time and again: 7 % of a MeSH reading.
        self._collecting = gc.isenabled()
        gc.disable()
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
            if self._collecting:
                gc.enable()

    def send(self) -> None:
        """Hand over the collected rows, after waiting for the ones handed over before, so that memory stays bounded."""
        self._wait()
        gathered = {
            table: {column: values.copy() for column, values in columns.items()} for table, columns in self.of.items()
        }
        for columns in self.of.values():
            for values in columns.values():
                values.clear()
        self._sent = self._thread.submit(self._insert, gathered)

    def _wait(self) -> None:
        if self._sent is not None:
            self._sent.result()

    def _insert(self, gathered: dict[str, dict[str, list[Any]]]) -> None:
        import pyarrow as pa

        for table, columns in gathered.items():
            if n_rows := len(next(iter(columns.values()))):
                types = {column: _WORDS[kind.split()[0]] for column, kind in SCHEMA[table].items()}
                arrays = {column: pa.array(values, types[column]) for column, values in columns.items()}
                for column, value in self._constant.get(table, {}).items():
                    arrays[column] = pa.repeat(pa.scalar(value, types[column]), n_rows)
                self._into.insert(table, pa.table(arrays))
