"""What a field trial found on the way of the data: odd folders, odd files, odd data sets."""

import io
import os
import shutil
import struct
import subprocess
import sys
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from train.config import TrainConfig
from train.data.dataset import decode_picture, prepare, prepare_hub
from train.errors import UserError
from train.run.record import skipped_files

ROOT = Path(__file__).resolve().parents[2]


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def encoded(seed: int, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture(seed).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "faces"
    path.mkdir()
    picture(0).save(path / "good.png")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


HIDDEN = [
    ".Trash-1000/files",
    ".ipynb_checkpoints",
    "@eaDir",
    "a/@EADIR/b",
    "$RECYCLE.BIN/S-1",
    "__MACOSX",
    "lost+found",
]


@pytest.mark.parametrize("zipped", [False, True])
def test_hidden_and_system_folders_are_not_trained_on(folder, cache, zipped):
    for i, name in enumerate([*HIDDEN, "true", "@artist"]):
        (folder / name).mkdir(parents=True)
        picture(i + 1).save(folder / name / "x.png")
    source = shutil.make_archive(str(folder), "zip", folder) if zipped else folder
    assert len(prepare(source, resolution=16, cache_dir=cache)) == 3


@pytest.mark.parametrize("place", ["run", "runs/a", "."])
@pytest.mark.parametrize("zipped", [False, True])
def test_what_a_training_left_in_the_data_folder_is_not_trained_on(folder, cache, place, zipped):
    run = folder / place
    for i, name in enumerate(["samples/000000000104.png", "reals.png", "weights/samples.png", "best/samples.png"]):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        picture(i + 1).save(run / name)
    (run / "metrics.jsonl").touch()
    (folder / "samples.of.mine").mkdir()
    picture(9).save(folder / "samples.of.mine" / "x.png")
    source = shutil.make_archive(str(folder), "zip", folder) if zipped else folder
    found = prepare(source, resolution=16, cache_dir=cache)
    assert len(found) == found.found == 2 and any("4 pictures" in remark for remark in found.remarks)


def test_a_failure_is_tried_again(tmp_path, cache, capfd):
    """The same stated checksums, so the same cache; first damaged, then intact."""
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(3):
            archive.writestr(f"{i}.png", encoded(i))
    whole = path.read_bytes()
    at = whole.index(b"IDAT") + 20
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    damaged = prepare(path, resolution=16, cache_dir=cache)
    assert len(damaged) == 2 and "CRC" in damaged.unreadable[0][1]
    capfd.readouterr()
    assert len(prepare(path, resolution=16, cache_dir=cache)) == 2 and "Decoding" not in capfd.readouterr().err
    path.write_bytes(whole)
    mended = prepare(path, resolution=16, cache_dir=cache)
    assert len(mended) == 3 and not mended.unreadable and np.array_equal(mended.images[0], np.asarray(picture(0)))


def test_a_lack_of_memory_that_passed_is_forgotten(folder, cache, monkeypatch):
    picture(1).save(folder / "other.png")

    def short(data, resolution, **options):
        if data == encoded(1):
            raise MemoryError
        return decode_picture(data, resolution, **options)

    with monkeypatch.context() as patch:
        patch.setattr("train.data.dataset.decode_picture", short)
        assert prepare(folder, resolution=16, cache_dir=cache).unreadable == [("other.png", "MemoryError")]
    assert len(prepare(folder, resolution=16, cache_dir=cache)) == 2


def test_every_safe_format_counts_whatever_its_name(folder, cache):
    kinds = {
        "jfif": "JPEG",
        "jpe": "JPEG",
        "gif": "GIF",
        "tif": "TIFF",
        "tiff": "TIFF",
        "avif": "AVIF",
        "jp2": "JPEG2000",
    }
    for i, (suffix, kind) in enumerate(kinds.items()):
        (folder / f"x.{suffix}").write_bytes(encoded(i + 1, kind))
    (folder / "no suffix").write_bytes(encoded(20))
    (folder / "page.php").write_bytes(encoded(21, "BMP"))
    frames = [picture(i) for i in (30, 31)]
    frames[0].save(folder / "moves.webp", save_all=True, append_images=frames[1:], lossless=True)
    for name in ("a.txt", "b.txt", "c.JSON", "README"):
        (folder / name).write_text("BM is no bitmap here")
    found = prepare(folder, resolution=16, cache_dir=cache)
    assert found.unreadable == [] and len(found) == 1 + len(kinds) + 3
    assert found.remarks == ["left aside as no pictures: 2 .txt, 1 without suffix, 1 .json"]
    assert any(np.array_equal(image, np.asarray(frames[0])) for image in found.images)


def test_linked_folders_are_followed_and_circles_end(folder, tmp_path, cache):
    (tmp_path / "elsewhere").mkdir()
    picture(1).save(tmp_path / "elsewhere" / "x.png")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    (folder / "self").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    found = prepare(folder, resolution=16, cache_dir=cache)
    assert (len(found), found.found) == (2, 2)


def test_a_folder_that_cannot_be_read_is_named(folder, cache, monkeypatch):
    (folder / "locked").mkdir()
    scandir = os.scandir

    def refused(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    remarks = prepare(folder, resolution=16, cache_dir=cache).remarks
    assert remarks == ["folder 'locked' cannot be read: Permission denied"]
    (folder / "good.png").unlink()
    with pytest.raises(UserError, match="no images in 'faces'.*folder 'locked' cannot be read: Permission denied"):
        prepare(folder, resolution=16, cache_dir=cache)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "the file is empty"),
        (bytes(99), "zero bytes"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "a PostScript file, not an image"),
        (b"%PDF-1.7", "a PDF file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (encoded(1, "GIF")[:40], "a GIF file named .png"),
        (b"nothing at all", "not an image"),
    ],
)
def test_a_file_that_is_no_picture_is_called_what_it_is(folder, cache, data, words):
    (folder / "x.png").write_bytes(data)
    ((name, reason),) = prepare(folder, resolution=16, cache_dir=cache).unreadable
    assert name == "x.png" and words in reason


def test_duplicates_are_named_also_from_the_cache(folder, cache):
    picture(0).save(folder / "second.bmp")
    for _ in range(2):
        found = prepare(folder, resolution=16, cache_dir=cache)
        assert (found.duplicates, found.duplicate_files) == (1, [("second.bmp", "good.png")])


def test_warnings_bear_the_files_name_and_no_librarys(folder, cache, monkeypatch, capsys):
    def warns(data, resolution, **options):
        warnings.warn("Corrupt EXIF data", stacklevel=1)
        return decode_picture(data, resolution, **options)

    monkeypatch.setattr("train.data.dataset.decode_picture", warns)
    for i in range(1, 14):
        picture(i).save(folder / f"{i}.png")
    prepare(folder, resolution=16, cache_dir=cache)
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if "warning: " in line]
    assert any(line == "warning: 1.png: Corrupt EXIF data" for line in lines) and ".py" not in error
    assert lines[-1] == "warning: and 4 more of these" and len(lines) == 11


@pytest.mark.parametrize(
    "data, words",
    [
        (bytes(257) + b"ustar" + bytes(250), "a tar archive); unpack it"),
        (b"\x1f\x8b\x08rest", "a gzip archive); unpack it"),
        (b"<html>sign in</html>", "a web page); what was fetched is the page about the file"),
        (encoded(1), "a PNG picture); give the folder"),
        (b"PK\x03\x04 cut", "fetch it again"),
    ],
)
def test_what_is_no_zip_is_called_what_it_is(tmp_path, cache, data, words):
    (tmp_path / "faces.zip").write_bytes(data)
    with pytest.raises(UserError) as error:
        prepare(tmp_path / "faces.zip", resolution=16, cache_dir=cache)
    assert words in str(error.value) and ("fetch it again" in words or "fetch it again" not in str(error.value))


def test_names_are_the_last_part_of_a_path(folder, cache, monkeypatch):
    (folder / "inner").mkdir()
    monkeypatch.chdir(folder / "inner")
    assert prepare("..", resolution=16, cache_dir=cache).name == "faces"
    monkeypatch.setenv("HOME", str(folder.parent))
    assert (
        prepare("~/faces", resolution=16, cache_dir="~/cache2").name == "faces" and (folder.parent / "cache2").is_dir()
    )


COLUMNS = {"image": "face", "list": "faces", "struct": "file", "binary": "raw"}


@pytest.mark.parametrize("kind", COLUMNS)
def test_hub_columns_of_every_shape(tmp_path, cache, monkeypatch, kind):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    cells = [{"bytes": encoded(i), "path": None} for i in range(4)]
    text = datasets.Value("string")
    column, feature = {
        "image": (cells, datasets.Image()),
        "list": ([cells[:2], [], cells[2:], None], datasets.List(datasets.Image())),
        "struct": (cells, {"bytes": datasets.Value("binary"), "path": text}),
        "binary": ([cell["bytes"] for cell in cells], datasets.Value("binary")),
    }[kind]
    features = datasets.Features({"label": text, COLUMNS[kind]: feature})
    dataset = datasets.Dataset.from_dict({"label": list("abcd"), COLUMNS[kind]: column}, features=features)
    (tmp_path / "private" / "hub").mkdir(parents=True)
    dataset.to_parquet(tmp_path / "private" / "hub" / "train.parquet")
    found = prepare_hub(str(tmp_path / "private" / "hub"), resolution=16, cache_dir=cache)
    assert [np.array_equal(image, np.asarray(picture(i))) for i, image in enumerate(found.images)] == [True] * 4
    assert found.remarks == [f"images are taken from column '{COLUMNS[kind]}'"] and found.unreadable == []
    assert found.name == "hub"


def test_a_local_dataset_is_no_name_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "faces").mkdir(parents=True)
    for name in (str(tmp_path), "me/faces", "./other", "~/faces", "a/b/c", "C:\\faces"):
        assert "dataset_name" not in TrainConfig(dataset_name=name).public(), name
    assert TrainConfig(dataset_name="me/other").public()["dataset_name"] == "me/other"


def pixels(data: bytes) -> list[tuple[int, ...]]:
    """The top left and top right pixel at 16x16."""
    image = decode_picture(data, 16, formats=("PNG", "BMP", "JPEG", "TIFF"))
    return [tuple(image[0, 0].tolist()), tuple(image[0, -1].tolist())]


def deep_png(colour_type: int, left: tuple[int, ...], right: tuple[int, ...], key: tuple[int, ...]) -> bytes:
    """A 16-bit PNG of two halves, in which the colour ``key`` is transparent."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    numbers = [n for half in (left, right) for _ in range(8) for n in half]
    rows = (b"\0" + struct.pack(f">{len(numbers)}H", *numbers)) * 16
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, colour_type, 0, 0, 0))
    transparent = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))
    return b"\x89PNG\r\n\x1a\n" + header + transparent + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "colour_type, left, right, seen",
    [
        (0, (5000,), (40000,), (40000 >> 8,) * 3),
        (2, (50000, 1000, 300), (1000, 50000, 300), (1000 >> 8, 50000 >> 8, 1)),
        (2, (0, 0, 0), (65535, 0, 0), (255, 0, 0)),
    ],
)
def test_a_transparent_colour_of_16_bits_is_white(colour_type, left, right, seen):
    assert pixels(deep_png(colour_type, left, right, key=left)) == [(255, 255, 255), seen]


@pytest.mark.parametrize("alpha, seen", [(0, (10, 20, 30)), (255, (10, 20, 30))])
def test_the_empty_alpha_of_a_bitmap_is_ignored(alpha, seen):
    body = bytes([30, 20, 10, alpha]) * 256
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 16, 16, 1, 32, 3, len(body), 0, 0, 0, 0) + masks + bytes(52)
    data = b"BM" + struct.pack("<IHHI", 14 + len(header) + len(body), 0, 0, 14 + len(header)) + header + body
    assert Image.open(io.BytesIO(data)).mode == "RGBA" and pixels(data)[0] == seen


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P"])
def test_an_embedded_profile_is_converted_to_srgb(mode):
    """A linear profile: 0.5 of the light is 188 of 255 in sRGB. Broken and sRGB profiles change nothing."""
    image = Image.new("RGB", (16, 16), (128, 128, 128))
    image = image.quantize(2) if mode == "P" else image.convert(mode)

    def drawn(profile: bytes) -> int:
        buffer = io.BytesIO()
        image.save(buffer, "PNG", icc_profile=profile)
        return pixels(buffer.getvalue())[0][1]

    linear = linear_profile(gray=mode in ("L", "LA"))
    assert abs(drawn(linear) - 188) <= 1
    assert drawn(b"broken") == drawn(linear[:200]) == 128
    if mode not in ("L", "LA"):
        assert drawn(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()) == 128


def linear_profile(gray: bool) -> bytes:
    """A version 2 display profile with sRGB's primaries, or grey, and a gamma of 1."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    text = b"Linear\0"
    white = b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.8249)
    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78), b"wtpt": white}
    if gray:
        tags[b"kTRC"] = curve
    else:
        primaries = {b"r": (0.4361, 0.2225, 0.0139), b"g": (0.3851, 0.7169, 0.0971), b"b": (0.1431, 0.0606, 0.7141)}
        for name, xyz in primaries.items():
            tags[name + b"XYZ"], tags[name + b"TRC"] = b"XYZ \0\0\0\0" + fixed(*xyz), curve
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    space = b"GRAY" if gray else b"RGB "
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"\0" * 4, 0x02100000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def test_what_a_killed_decoding_left_is_swept(folder, cache):
    cache.mkdir()
    old, fresh = cache / ".x.npy.0123abcd.tmp", cache / ".x.npy.0123abce.tmp"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    prepare(folder, resolution=16, cache_dir=cache)
    assert not old.exists() and fresh.exists()


def test_names_of_no_letters_are_shown_and_written_by_their_codes(folder, cache):
    """A name that is no UTF-8 cannot be printed, and one with control characters moves the cursor of a terminal."""
    for name in (b"b\xff.png", b"line\n\x1b[31m.png"):
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_bytes(b"no picture")
    shutil.copy(folder / "good.png", os.fsdecode(os.fsencode(folder) + b"/c\xfe.png"))
    found = prepare(folder, resolution=16, cache_dir=cache)
    assert (len(found), found.duplicates, len(found.unreadable)) == (1, 1, 2)
    lines = skipped_files(found).encode().decode().splitlines()
    assert sorted(lines) == [
        r"b\udcff.png: not an image",
        r"good.png: the same picture as c\udcfe.png",
        r"line\n\x1b[31m.png: not an image",
    ]
    odd = folder.rename(os.fsdecode(os.fsencode(folder) + b"\xff"))
    assert prepare(odd, resolution=16, cache_dir=cache).name == r"faces\udcff"


def test_a_foreign_name_ends_no_command(tmp_path):
    """In a terminal of ASCII, or with bytes in it that are no text, it is printed by its codes."""
    code = "from train.errors import run; run(lambda: print('\u3042 \\udcff'), 'x')"
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u3042 \\udcff\n", "")


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pixels_of_32_bits_are_left_aside_not_drawn_black(folder, cache, kind):
    Image.fromarray(np.full((16, 16), 200, dtype=kind)).save(folder / "deep.tif")
    found = prepare(folder, resolution=16, cache_dir=cache)
    assert len(found) == 1 and "save it in 8 or 16 bits" in dict(found.unreadable)["deep.tif"]


def test_what_is_no_file_is_counted_and_a_broken_link_names_no_path(folder, cache):
    os.mkfifo(folder / "pipe.png")
    os.symlink("/dev/zero", folder / "device.png")
    os.symlink(folder.parent / "gone.png", folder / "link.png")
    found = prepare(folder, resolution=16, cache_dir=cache)
    assert found.unreadable == [("link.png", "No such file or directory")]
    assert found.remarks == ["left aside as no files: 2 pipes, devices or the like"]


def test_a_zip_with_backslashes_or_a_name_twice(tmp_path, cache):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = [
            "a\\x.png",
            "a\\x.png",
            "@eaDir\\y.png",
            "a\\.hidden\\z.png",
            "run\\metrics.jsonl",
            "run\\samples\\1.png",
        ]
        for i, name in enumerate(names):
            archive.writestr(name, encoded(i) if name.endswith("png") else "{}")
    found = prepare(tmp_path / "faces.zip", resolution=16, cache_dir=cache)
    assert len(found) == found.found == 1
    assert "left aside as the work of a training: 1 pictures" in found.remarks
    assert "left aside as written over: 1 members whose name comes again" in found.remarks
