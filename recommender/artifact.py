"""A trained model as files: what ``encore live`` and the API load, whichever engine made it.

``items.parquet``
    a row an item: its id, factors, listeners, trend, and its neighbours by co-listening.
``content.parquet``
    a row a value of an attribute (``artist:a12``), with its weights; the first is the mean.
``model.json``
    parameters, the blend's weights, and what the run was made from.

They lie in the table ``model_artifacts``, so that whoever can read lists can load the model.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psycopg2
import psycopg2.extensions
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

from encore.errors import EncoreError
from recommender.blend import Signals
from recommender.bundle import Bundle
from recommender.catalogue import Catalogue, read_catalogue
from recommender.content import Content
from recommender.foldin import HalfStep
from recommender.rules import Rules
from recommender.runs import published_run
from recommender.topk import Als, Floats, Indexes

ITEMS: Final = "items.parquet"
CONTENT: Final = "content.parquet"
MODEL: Final = "model.json"
FORMAT: Final = 1
_PART_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True)
class Artifact:
    """What a training leaves. ``model`` has alpha, regularization, scaled, blend and more.

    Rows of ``als``, ``listeners``, ``trend`` (what they lately had of an item, relative to the
    item they had most of) and ``neighbours`` (items, items) go with ``item_ids``.
    """

    item_ids: list[str]
    als: Als
    listeners: Indexes
    trend: Floats
    neighbours: sp.csr_matrix
    content: Content
    model: Mapping[str, Any]

    def bundle(self, catalogue: Catalogue, rules: Rules, model_run_id: int) -> Bundle:
        """Return what makes lists, of a catalogue that begins with the model's items.

        Items that the model has not seen, or that came since, get factors from their content.
        """
        count, more = len(catalogue.ids), len(catalogue.ids) - len(self.item_ids)
        trained = np.append(self.als.trained, np.zeros(more, np.bool_))
        factors = self.content.predict(catalogue.attributes)
        factors[np.flatnonzero(trained)] = self.als.factors[self.als.trained]
        listeners = np.append(self.listeners, np.zeros(more, np.int64))
        neighbours = self.neighbours.copy()
        neighbours.resize((count, count))
        half_step = HalfStep.of(
            factors,
            alpha=self.model["alpha"],
            regularization=self.model["regularization"],
            scaled=self.model["scaled"],
            trained=trained,
        )
        alike = {
            "popularity": np.log1p(listeners).astype(np.float32),
            "trend": np.append(self.trend, np.zeros(more, np.float32)),
            "recency": catalogue.recency(self.model["now_s"]),
        }
        signals = Signals(neighbours, catalogue.attributes, alike)
        return Bundle(
            catalogue,
            half_step,
            trained,
            listeners,
            signals,
            self.model.get("blend", {}),
            rules,
            model_run_id,
            self.model["now_s"],
        )

    def files(self) -> dict[str, bytes]:
        """Return the files by name."""
        return {ITEMS: self._items(), CONTENT: self._content(), MODEL: self._model()}

    def _items(self) -> bytes:
        rank = self.als.factors.shape[1]
        neighbours = self.neighbours
        offsets = pa.array(neighbours.indptr, pa.int32())
        return _parquet(
            {
                "item_id": pa.array(self.item_ids, pa.string()),
                "trained": pa.array(self.als.trained),
                "listeners": pa.array(self.listeners),
                "trend": pa.array(self.trend, pa.float32()),
                "factors": pa.FixedSizeListArray.from_arrays(
                    pa.array(self.als.factors.astype(np.float32).ravel()), rank
                ),
                "neighbours": pa.ListArray.from_arrays(
                    offsets, pa.array(neighbours.indices, pa.int32())
                ),
                "likeness": pa.ListArray.from_arrays(
                    offsets, pa.array(neighbours.data, pa.float32())
                ),
            }
        )

    def _content(self) -> bytes:
        rows = np.vstack([self.content.mean[None, :], self.content.weights]).astype(np.float32)
        return _parquet(
            {
                "value": pa.array(["", *self.content.values], pa.string()),
                "weights": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1]),
            }
        )

    def _model(self) -> bytes:
        return json.dumps({"format": FORMAT, **self.model}, indent=2).encode()


def of_files(files: Mapping[str, bytes]) -> Artifact:
    """Read an artifact back.

    Raises:
        EncoreError: a file is missing, cut short, or of a newer version.
    """
    try:
        model = json.loads(files[MODEL])
        if model["format"] > FORMAT:
            raise EncoreError(
                f"{MODEL} has format {model['format']}, this version reads {FORMAT}: upgrade Encore"
            )
        items = pq.read_table(io.BytesIO(files[ITEMS])).combine_chunks()
        content = pq.read_table(io.BytesIO(files[CONTENT])).combine_chunks()
        rows = _matrix(content.column("weights"))
        count = items.num_rows
        lists = items.column("neighbours").combine_chunks()
        likeness = items.column("likeness").combine_chunks().flatten().to_numpy()
        neighbours = sp.csr_matrix(
            (likeness, lists.flatten().to_numpy(), lists.offsets.to_numpy()), (count, count)
        )
        return Artifact(
            items.column("item_id").to_pylist(),
            Als(
                _matrix(items.column("factors")),
                items.column("trained").to_numpy(),
            ),
            items.column("listeners").to_numpy(),
            items.column("trend").to_numpy(),
            neighbours,
            Content(content.column("value").to_pylist()[1:], rows[1:], rows[0]),
            model,
        )
    except (KeyError, ValueError, OSError, pa.ArrowException) as error:
        raise EncoreError(
            f"the model's files cannot be read ({type(error).__name__}: {error}). "
            "`encore rollback` goes back to an older run; `encore train` makes a new one."
        ) from None


def save(cursor: psycopg2.extensions.cursor, model_run_id: int, artifact: Artifact) -> None:
    """Write the files of a run into the database."""
    for name, content in artifact.files().items():
        digest = hashlib.sha256(content).hexdigest()
        for part, start in enumerate(range(0, len(content), _PART_BYTES)):
            cursor.execute(
                "INSERT INTO model_artifacts (model_run_id, name, part, content, sha256)"
                " VALUES (%s, %s, %s, %s, %s)",
                (
                    model_run_id,
                    name,
                    part,
                    psycopg2.Binary(content[start : start + _PART_BYTES]),
                    digest,
                ),
            )


def read_files(cursor: psycopg2.extensions.cursor, model_run_id: int) -> dict[str, bytes]:
    """Return the files of a run by name.

    Raises:
        EncoreError: there are none, or one is not what was written.
    """
    cursor.execute(
        "SELECT name, content, sha256 FROM model_artifacts WHERE model_run_id = %s"
        " ORDER BY name, part",
        (model_run_id,),
    )
    files: dict[str, bytes] = {}
    digests: dict[str, str] = {}
    for name, content, digest in cursor.fetchall():
        files[name] = files.get(name, b"") + bytes(content)
        digests[name] = digest
    if not files:
        raise EncoreError(f"run {model_run_id} has no files: it was made by an older version")
    for name, digest in digests.items():
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise EncoreError(
                f"{name} of run {model_run_id} is not what was written ({len(files[name])} bytes, "
                f"sha256 differs). `encore rollback` goes back to an older run; `encore train` "
                "makes a new one."
            )
    return files


def load_bundle(cursor: psycopg2.extensions.cursor, rules: Rules) -> Bundle | None:
    """Load the published model with the catalogue as of now; None where no model is published.

    Raises:
        EncoreError: its files are damaged.
    """
    run = published_run(cursor)
    if run is None or run["algorithm"] != "als":
        return None
    artifact = of_files(read_files(cursor, run["model_run_id"]))
    catalogue = read_catalogue(cursor, first=artifact.item_ids)
    return artifact.bundle(catalogue, rules, run["model_run_id"])


def export(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _parquet(columns: Mapping[str, pa.Array]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), sink, compression="zstd")
    return sink.getvalue()


def _matrix(column: pa.ChunkedArray) -> Floats:
    lists = column.combine_chunks()
    values = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=True)
    matrix: Floats = values.reshape(len(lists), -1)
    return matrix
