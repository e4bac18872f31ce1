"""Columns in Arrow files, mapped from disk, and what pyarrow does with them without importing pandas."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def write(path: Path, table: "pa.Table") -> None:
    import pyarrow as pa

    table = table.combine_chunks()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(len(table), 1))


def open_columns(path: Path) -> dict[str, Any]:
    import pyarrow as pa

    with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
        table = reader.read_all().combine_chunks()
    return {name: table[name].chunk(0) if table[name].num_chunks else table[name] for name in table.column_names}


def row_array(rows: np.ndarray) -> "pa.Array":
    """``rows`` for pyarrow, without the pandas that ``pa.array`` would import."""
    import pyarrow as pa

    rows = np.ascontiguousarray(rows, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)])


def text_scalar(text: str) -> "pa.LargeStringScalar":
    """``text`` for pyarrow, without the pandas that ``pa.scalar`` would import."""
    import pyarrow as pa

    content = text.encode()
    offsets = np.array([0, len(content)], np.int64)
    return pa.LargeStringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(content))[0]


def numbers(column: "pa.Array | pa.ChunkedArray") -> np.ndarray:
    """The numbers of a column of :func:`open_columns`, none of them null, as they lie in memory."""
    # By DLPack: pyarrow's own to_numpy() imports pandas, half a second of CPU for a command that links one sentence.
    return np.from_dlpack(column) if len(column) else np.empty(0, column.type.to_pandas_dtype())
