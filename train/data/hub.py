"""Image dataset of the Hub -> named bytes."""

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from train.config import is_local_dataset
from train.data.choice import HEAD, format_of
from train.data.sources import Source, public_name, read_bounded
from train.errors import UserError

if TYPE_CHECKING:
    import datasets

OPTION = "--dataset_name"


def open_hub(dataset_name: str, split: str, image_column: str | None) -> Source:
    """The rows of an image dataset of the Hub, or of a local folder that ``datasets`` can load.

    Raises:
        UserError: ``datasets`` is not installed, or the dataset, split or column is unavailable.
    """
    try:
        import datasets
    except ImportError:
        sentence = "the package 'datasets' is missing; pip install -r train/requirements.txt"
        raise UserError(OPTION, sentence) from None
    try:
        dataset = datasets.load_dataset(dataset_name, split=split)
    except Exception as error:  # many kinds: no such dataset or split, no connection, no permission, a broken file
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(OPTION, f"dataset '{dataset_name}' cannot be loaded: {reason}") from None
    columns = image_columns(dataset)
    if not columns or (image_column and image_column not in columns):
        missing = f"image column '{image_column}'" if image_column else "column of images"
        there = ", ".join(dataset.column_names)
        option = "--image_column" if image_column else OPTION
        raise UserError(option, f"dataset '{dataset_name}' has no {missing} (it has: {there})")
    column = image_column or columns[0]
    others = [other for other in columns if other != column]
    remark = f"images are taken from column '{column}'"
    if others and not image_column:
        remark += f"; --image_column takes another: {', '.join(others)}"
    name = public_name(Path(dataset_name)) if is_local_dataset(dataset_name) else dataset_name
    return rows_of(dataset, column, name, remark)


def image_columns(dataset: "datasets.Dataset") -> list[str]:
    """Columns that hold images, the likeliest first: images, lists of them, {bytes, path}, or bytes alone."""
    import datasets

    ranked = []
    for name, feature in dataset.features.items():
        inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
        if isinstance(feature, datasets.Image):
            ranked.append((0, name))
        elif isinstance(inner, datasets.Image):
            ranked.append((1, name))
        elif isinstance(feature, dict) and "bytes" in feature:
            ranked.append((2, name))
        elif getattr(feature, "dtype", None) in ("binary", "large_binary") and begins_with_image(dataset, name):
            ranked.append((3, name))
    return [name for _, name in sorted(ranked, key=lambda one: one[0])]


def begins_with_image(dataset: "datasets.Dataset", column: str) -> bool:
    """Whether the first bytes that a column holds are those of an image."""
    rows = dataset.select_columns([column]).with_format("arrow")
    values = (rows[i].column(column)[0].as_py() for i in range(min(len(rows), 100)))
    return format_of(next(filter(None, values), b"")[:HEAD]) is not None


def rows_of(dataset: "datasets.Dataset", column: str, name: str, remark: str) -> Source:
    """The images of a column, in the order of the rows; of rows that hold lists all."""
    import pyarrow.compute

    rows = dataset.select_columns([column]).with_format("arrow")  # as stored: nothing is decoded
    stored = rows[:0].column(column).type
    is_list = hasattr(stored, "value_type")
    places = [(i, 0) for i in range(len(rows))]
    files = [f"row {i}" for i, _ in places]
    if is_list:
        lengths = [n or 0 for n in pyarrow.compute.list_value_length(rows[:].column(column)).to_pylist()]
        places = [(i, j) for i, n in enumerate(lengths) for j in range(n)]
        files = [f"row {i}, image {j}" for i, j in places]
    lock = threading.Lock()

    def read(i: int) -> bytes:
        row, j = places[i]
        with lock:
            value = rows[row].column(column)[0].as_py()
        value = value[j] if is_list else value
        if isinstance(value, dict):
            data, path = value.get("bytes"), value.get("path")
        else:
            data, path = value, None
        if data is None and path is None:
            raise ValueError("the row is empty")
        if data is None:
            with open(path, "rb") as file:
                return read_bounded(file, Path(path).stat().st_size)
        return read_bounded(io.BytesIO(data), len(data))

    return Source(OPTION, name, files, read, remarks=[remark])
