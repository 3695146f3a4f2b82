"""Columns of lists in an Arrow batch as NumPy arrays, without copying where that can be."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recommender.topk import Floats, Indexes


def matrix(batch: pa.RecordBatch, name: str) -> Floats:
    """Return a column of equally long lists of numbers as a matrix with a row for each."""
    column = batch.column(name)
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    result: Floats = values.reshape(len(column), -1)
    return result


def index_lists(batch: pa.RecordBatch, name: str) -> list[Indexes]:
    """Return a column of lists of whole numbers as an array for each row."""
    return [part.astype(np.int64, copy=False) for part in _parts(batch, name)]


def number_lists(batch: pa.RecordBatch, name: str) -> list[NDArray[np.float64]]:
    """Return a column of lists of numbers as an array for each row."""
    return [part.astype(np.float64, copy=False) for part in _parts(batch, name)]


def _parts(batch: pa.RecordBatch, name: str) -> list[NDArray[np.generic]]:
    column = batch.column(name)
    ends = np.cumsum(column.value_lengths().to_numpy(zero_copy_only=False))
    return np.split(column.flatten().to_numpy(zero_copy_only=False), ends[:-1])
