"""Which files of a folder or an archive are pictures, by name and by content, and what the others are."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path, PurePosixPath

from PIL import Image

from train.output.run_folder import left_by_runs

# Those that Pillow decodes by itself or by a codec's library; PostScript and the like run programs.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000")
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib"),
    *(".gif", ".tif", ".tiff", ".avif", ".jp2"),
)
# What systems, NAS boxes and archivers keep beside the pictures, thumbnails and thrown away ones among them.
SYSTEM_FOLDERS = {
    *("__macosx", "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin"),
    *("recycler", "recycled", "system volume information", "lost+found", "found.000", "__pycache__"),
}
HEAD = 16  # bytes that tell a format, as Pillow reads them
OTHER_KINDS = {
    b"%!PS": "a PostScript file", b"\xc5\xd0\xd3\xc6": "a PostScript file", b"%PDF": "a PDF file",
    b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "a gzip archive", b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive", b"<svg": "an SVG drawing", b"<!do": "a web page", b"<htm": "a web page",
    b"version https://": "a Git LFS pointer: fetch the file itself with git lfs pull",
}  # fmt: skip


def is_hidden(name: str) -> bool:
    """Whether a path or one of its folders is hidden, or belongs to the system."""
    parts = PurePosixPath(name.replace("\\", "/")).parts  # some zips made by Windows have \ between folders
    return any(p.lower() in SYSTEM_FOLDERS or (p.startswith(".") and p not in (".", "..")) for p in parts)


def is_image(name: str) -> bool:
    """Whether a path names a picture; hidden files and what belongs to the system do not count."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES and not is_hidden(name)


@cache
def formats() -> dict[str, Callable | None]:
    """Pillow's test of the first bytes, by format."""
    Image.init()
    return {name: accept for name, (_, accept) in Image.OPEN.items()}


def readable_formats() -> tuple[str, ...]:
    """FORMATS without those that this Pillow was built without."""
    return tuple(name for name in FORMATS if name in formats())


def format_of(head: bytes) -> str | None:
    """The one of FORMATS that a file beginning with ``head`` has."""
    for name in readable_formats():
        accept = formats()[name]
        if accept and accept(head) is True and (name != "BMP" or head[6:10] == bytes(4)):  # "BM" begins many a text
            return name
    return None


def kind_of(data: bytes) -> str:
    """What a file is that is no picture of FORMATS, for people."""
    if not data:
        return "the file is empty"
    if not data.strip(b"\0"):
        return "the file holds zero bytes alone"
    start = data[:64].lstrip().lower()
    kind = next((kind for magic, kind in OTHER_KINDS.items() if start.startswith(magic.lower())), None)
    if kind is None and data[257:262] == b"ustar":
        kind = "a tar archive"
    if kind is None and format_of(data[:HEAD]):
        return "the file is damaged"
    return f"{kind}, not an image" if kind else "not an image"


def choose(names: Iterable[str], head: Callable[[str], bytes]) -> tuple[list[str], list[str]]:
    """Pick the pictures: by their suffix, or where that says nothing by their first bytes, ``head(name)``.

    Returns:
        The pictures in order of their names, and remarks on what was left aside.
    """
    names = list(names)
    own = left_by_runs(names)
    chosen: list[str] = []
    aside: Counter[str] = Counter()
    for name in names:
        if name in own or is_hidden(name):
            continue
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in SUFFIXES or format_of(head(name)):
            chosen.append(name)
        else:
            aside[suffix or "without suffix"] += 1
    remarks = [f"left aside as no pictures: {', '.join(f'{n} {kind}' for kind, n in aside.most_common())}"]
    grids = sum(is_image(name) for name in own)
    remarks = remarks if aside else []
    if grids:
        remarks.append(f"left aside as the work of a training: {grids} pictures")
    return sorted(chosen), remarks


def walk(folder: Path) -> tuple[list[str], list[str]]:
    """All files of a folder as relative names, linked folders followed, each once; and remarks on unreadable ones."""
    names: list[str] = []
    remarks: list[str] = []
    seen = set()
    strange = 0

    def unreadable(error: OSError) -> None:
        place = os.path.relpath(str(error.filename), folder)
        remarks.append(f"folder '{place}' cannot be read: {error.strerror or error}")

    for place, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        state = os.stat(place)
        if (state.st_dev, state.st_ino) in seen:  # a link to what was or is being read, a circle perhaps
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        inside = os.path.relpath(place, folder)
        # True folders before links to them, so that names do not depend on the links.
        folders[:] = sorted((f for f in folders if not is_hidden(f)), key=lambda f: (os.path.islink(f"{place}/{f}"), f))
        for file in files:
            path = os.path.join(place, file)
            if os.path.isfile(path) or (os.path.islink(path) and not os.path.exists(path)):  # no pipes or devices
                names.append(Path(inside, file).as_posix())
            else:
                strange += 1
    if strange:
        remarks.append(f"left aside as no files: {strange} pipes, devices or the like")
    return names, remarks
