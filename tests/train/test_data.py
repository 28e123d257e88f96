"""The way of the data: folders, zips and Hub datasets, good and bad, to batches."""

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from train.data.batches import Batches
from train.data.dataset import default_cache_dir, prepare, prepare_hub
from train.errors import UserError
from train.output.files import atomic_file, remove_leftovers, replace_folder, write_text

ROOT = Path(__file__).resolve().parents[2]
FACES = ROOT.parent / "shared" / "data" / "anime-faces.zip"


def picture(seed: int, size: tuple[int, int] = (16, 16), mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size; its pixel data is a few bytes, as in a decompression bomb."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "faces"
    path.mkdir()
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def only(folder: Path, cache: Path, resolution: int = 16) -> np.ndarray:
    """The one image of a folder."""
    found = prepare(folder, resolution=resolution, cache_dir=cache)
    assert len(found) == 1 and found.unreadable == []
    return found.images[0]


def test_nested_folders_and_any_case_of_suffix(folder: Path, cache: Path) -> None:
    for i, name in enumerate(["a.PNG", "b/c.jpg", "b/d/e.JPeG", "b/d/f.webp", "g.bmp"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        kind = {"jpg": "JPEG", "jpeg": "JPEG"}.get(name.split(".")[-1].lower(), name.split(".")[-1].upper())
        picture(i).save(folder / name, kind, **({"lossless": True} if kind == "WEBP" else {}))
    (folder / "notes.txt").write_text("no picture")
    (folder / "._a.png").write_bytes(b"what macOS leaves behind")
    found = prepare(folder, resolution=16, cache_dir=cache)
    assert (len(found), found.found, found.duplicates, found.unreadable) == (5, 5, 0, [])
    assert found.name == "faces" and found.images.dtype == np.uint8 and isinstance(found.images, np.memmap)
    for i, row in ((0, 0), (3, 3), (4, 4)):  # the lossless ones, in the order of their names, bit for bit
        assert np.array_equal(found.images[row], np.asarray(picture(i)))


def test_second_use_opens_the_cache_without_decoding(folder: Path, cache: Path, capfd) -> None:
    for i in range(3):
        picture(i).save(folder / f"{i}.png")
    first = prepare(folder, resolution=16, cache_dir=cache)
    assert "Decoding" in capfd.readouterr().err
    before = {p: p.stat().st_mtime_ns for p in cache.iterdir()}
    again = prepare(folder, resolution=16, cache_dir=cache)
    assert "Decoding" not in capfd.readouterr().err
    assert again.fingerprint == first.fingerprint and np.array_equal(again.images, first.images)
    assert {p: p.stat().st_mtime_ns for p in cache.iterdir()} == before and len(before) == 2

    shutil.copytree(folder, folder.parent / "copy")  # keyed by content, not by place or time
    assert prepare(folder.parent / "copy", resolution=16, cache_dir=cache).fingerprint == first.fingerprint
    assert prepare(folder, resolution=8, cache_dir=cache).fingerprint != first.fingerprint
    old = (folder / "1.png").stat()
    picture(9).save(folder / "1.png")
    os.utime(folder / "1.png", ns=(old.st_atime_ns, old.st_mtime_ns))
    changed = prepare(folder, resolution=16, cache_dir=cache)
    assert np.array_equal(changed.images[1], np.asarray(picture(9)))


def test_zip_and_its_folder_share_one_cache(folder: Path, cache: Path, capfd) -> None:
    for name in ("x/0.png", "x/1.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        picture(int(name[2])).save(folder / name)
    archive = shutil.make_archive(str(folder.parent / "faces"), "zip", folder)
    first = prepare(archive, resolution=16, cache_dir=cache)
    capfd.readouterr()
    second = prepare(folder, resolution=16, cache_dir=cache)
    assert "Decoding" not in capfd.readouterr().err and second.fingerprint == first.fingerprint
    assert (first.name, second.name) == ("faces.zip", "faces")


def test_kaggle_archive_with_its_second_copy(tmp_path: Path, cache: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for prefix in ("data/", "data/data/"):
            for i in range(4):
                archive.writestr(f"{prefix}{i}.png", encoded(picture(i)))
        archive.writestr("__MACOSX/data/._0.png", b"resource fork")
    found = prepare(tmp_path / "archive.zip", resolution=16, cache_dir=cache)
    assert (len(found), found.found, found.duplicates, found.unreadable) == (4, 8, 4, [])


def test_duplicates_are_judged_by_pixels(folder: Path, cache: Path) -> None:
    picture(0).save(folder / "a.png")
    picture(0).save(folder / "b.bmp")  # other bytes, same pixels
    picture(1).save(folder / "c.png")
    found = prepare(folder, resolution=16, cache_dir=cache)
    assert (len(found), found.duplicates) == (2, 1)
    assert np.array_equal(found.images[1], np.asarray(picture(1)))
    whole = prepare(folder, resolution=16, cache_dir=cache, drop_duplicates=False)
    assert (len(whole), whole.duplicates) == (3, 0) and whole.fingerprint != found.fingerprint
    assert np.array_equal(whole.images[0], whole.images[1])


def test_zip_members_with_dangerous_paths_are_only_read(tmp_path: Path, cache: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with zipfile.ZipFile(inside / "evil.zip", "w") as archive:
        for i, name in enumerate(["../up.png", str(tmp_path / "absolute.png"), "C:\\windows.png", "plain.png"]):
            archive.writestr(zipfile.ZipInfo(name), encoded(picture(i)))
    before = sorted(tmp_path.rglob("*"))
    found = prepare(inside / "evil.zip", resolution=16, cache_dir=cache)
    assert len(found) == 4
    after = [p for p in sorted(tmp_path.rglob("*")) if p != cache and cache not in p.parents]
    assert after == before


def test_zip_bomb_member_is_bounded(tmp_path: Path, cache: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", encoded(picture(0)))
        with archive.open("bomb.png", "w", force_zip64=True) as member:
            for _ in range(300):
                member.write(bytes(2**20))
    assert (tmp_path / "bomb.zip").stat().st_size < 2**20
    found = prepare(tmp_path / "bomb.zip", resolution=16, cache_dir=cache)
    assert len(found) == 1 and found.unreadable == [("bomb.png", "larger than 256 MiB")]


def test_damaged_and_encrypted_zip_members_are_named(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", encoded(picture(0)))
        archive.writestr("b.png", encoded(picture(1)))
        archive.writestr("c.png", encoded(picture(2)))
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 20] ^= 0xFF  # inside a.png: its CRC no longer fits
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # c.png claims to be encrypted
    path.write_bytes(data)
    found = prepare(path, resolution=16, cache_dir=cache)
    assert [name for name, _ in found.unreadable] == ["a.png", "c.png"]
    assert "CRC" in found.unreadable[0][1] and "encrypted" in found.unreadable[1][1]


def test_transparency_goes_over_white(folder: Path, cache: Path) -> None:
    image = Image.new("RGBA", (16, 16), (200, 0, 0, 0))
    image.paste((10, 20, 30, 255), (0, 0, 8, 16))
    image.save(folder / "a.png")
    pixels = only(folder, cache)
    assert (pixels[:, :8] == (10, 20, 30)).all() and (pixels[:, 8:] == 255).all()


@pytest.mark.parametrize(
    "image, options, left, right",
    [
        (Image.new("LA", (16, 16), (40, 0)), {}, 255, 255),
        (Image.new("L", (16, 16), 90), {}, 90, 90),
        (Image.new("L", (16, 16), 90), {"transparency": 90}, 255, 255),
        (Image.new("1", (16, 16), 1), {}, 255, 255),
        (Image.new("P", (16, 16), 0), {"transparency": 0}, 255, 255),
        (Image.new("RGB", (16, 16), (7, 7, 7)), {"transparency": (7, 7, 7)}, 255, 255),
        (Image.fromarray(np.full((16, 16), 0x4030, np.uint16)), {}, 0x40, 0x40),
        (Image.fromarray(np.repeat([[0] * 8 + [65535] * 8], 16, 0).astype(np.uint16)), {}, 0, 255),
    ],
    ids=["LA", "L", "L keyed", "1", "P keyed", "RGB keyed", "16-bit", "16-bit ends"],
)
def test_png_modes_become_rgb(
    folder: Path, cache: Path, image: Image.Image, options: dict, left: int, right: int
) -> None:
    image.save(folder / "a.png", **options)
    pixels = only(folder, cache)
    assert pixels.shape == (16, 16, 3) and (pixels[:, :8] == left).all() and (pixels[:, 8:] == right).all()


def test_palette_without_transparency_keeps_its_colours(folder: Path, cache: Path) -> None:
    image = picture(3).quantize(16)
    image.save(folder / "a.png")
    assert np.array_equal(only(folder, cache), np.asarray(image.convert("RGB")))


def test_cmyk_jpeg(folder: Path, cache: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(folder / "a.jpg", quality=95)
    assert np.abs(only(folder, cache).astype(int) - (255, 0, 0)).max() < 12


def test_16_bit_colour_png(folder: Path, cache: Path) -> None:
    """Pillow cannot write one, so the file is put together here."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" + struct.pack(">3H", 0xFFFF, 0x8000, 0) * 16
    body = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(row * 16))
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""))
    assert (only(folder, cache) == (255, 128, 0)).all()


def test_exif_orientation_is_honoured(folder: Path, cache: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture(0).save(folder / "a.png", exif=exif)
    assert np.array_equal(only(folder, cache), np.rot90(np.asarray(picture(0)), -1))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_lose_the_picture(folder: Path, cache: Path) -> None:
    picture(0).save(folder / "a.png", exif=b"Exif\0\0II\x2a\0\xff\xff\xff\x7f garbage")
    picture(1).save(folder / "b.png", exif=b"not exif at all")
    found = prepare(folder, resolution=16, cache_dir=cache)
    assert len(found) == 2 and found.unreadable == []


@pytest.mark.parametrize("size", [(40, 16), (16, 40), (17, 16)])
def test_central_square_is_kept(folder: Path, cache: Path, size: tuple[int, int]) -> None:
    picture(0, size).save(folder / "a.png")
    left, top = (size[0] - 16) // 2, (size[1] - 16) // 2
    assert np.array_equal(only(folder, cache), np.asarray(picture(0, size))[top : top + 16, left : left + 16])


def test_other_sizes_are_scaled_with_lanczos(folder: Path, cache: Path) -> None:
    picture(0, (50, 50)).save(folder / "a.png")
    want = picture(0, (50, 50)).resize((16, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(only(folder, cache), np.asarray(want))


def test_bad_files_are_named_counted_and_skipped(folder: Path, cache: Path) -> None:
    picture(0).save(folder / "good.png")
    picture(5, (1, 1)).save(folder / "one.png")
    (folder / "text.png").write_text("this is a text file\n" * 50)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "cut.jpg").write_bytes(encoded(picture(1, (64, 64)), "JPEG")[:900])
    (folder / "cut.png").write_bytes(encoded(picture(1, (64, 64)))[:2000])
    (folder / "cut.webp").write_bytes(encoded(picture(1, (64, 64)), "WEBP", lossless=True)[:2000])
    (folder / "postscript.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n")
    (folder / "bomb.png").write_bytes(png_header(30_000, 30_000))
    (folder / "large.png").write_bytes(png_header(9_000, 9_000))  # below Pillow's own limit
    (folder / "folder.png").mkdir()
    tracemalloc.start()
    found = prepare(folder, resolution=16, cache_dir=cache)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 1 and found.found == 10 and found.duplicates == 0
    reasons = dict(found.unreadable)
    assert len(reasons) == 9 and all(reasons.values()), reasons
    assert reasons["text.png"] == "not an image" and reasons["empty.jpg"] == "the file is empty"
    assert reasons["postscript.png"] == "a PostScript file, not an image"
    assert reasons["one.png"] == "1x1 is too small for 16x16"
    assert "pixels" in reasons["bomb.png"] and "9000x9000" in reasons["large.png"]
    assert peak < 2**24
    assert prepare(folder, resolution=16, cache_dir=cache).unreadable == found.unreadable  # from the cache as well


def test_30000_pixels_square_is_refused_without_decoding(folder: Path, cache: Path) -> None:
    """A true PNG of 900 million grey pixels in 1 MB; decoding it would take 900 MB."""
    packer = zlib.compressobj(9)
    data = b"".join([*(packer.compress(bytes(30_001)) for _ in range(30_000)), packer.flush()])
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    with open(folder / "bomb.png", "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
            file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    picture(0).save(folder / "good.png")
    code = (
        "import sys; from train.data.dataset import prepare;"
        "peak = lambda: next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'));"
        "before = peak();"  # in kB; getrusage() would begin with the peak of the parent
        "s = prepare(sys.argv[1], resolution=16, cache_dir=sys.argv[2]);"
        "grown = peak() - before;"
        "print(len(s), [n for n, r in s.unreadable], grown < 200_000 or grown)"
    )
    ran = subprocess.run([sys.executable, "-c", code, folder, cache], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.strip() == "1 ['bomb.png'] True", ran.stderr


def test_nothing_to_read_is_told_in_a_sentence(folder: Path, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UserError, match=r"no images in 'faces' \(looked for .png, .*, .webp, .*\)"):
        prepare(folder, resolution=16, cache_dir=cache)
    with pytest.raises(UserError, match="'.*nowhere' does not exist"):
        prepare(tmp_path / "nowhere", resolution=16, cache_dir=cache)
    (folder / "b.png").write_text("text")
    (folder / "a.png").write_text("text")
    with pytest.raises(UserError, match=r"none of the 2 images in 'faces' can be read; the first is 'a.png' \(not an"):
        prepare(folder, resolution=16, cache_dir=cache)
    assert list(cache.iterdir()) == []


def test_truncated_zip_is_told_in_a_sentence(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(20):
            archive.writestr(f"{i}.png", encoded(picture(i)))
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:-30], b"PK\x03\x04", b"", b"a text file"):
        path.write_bytes(data)
        with pytest.raises(UserError, match="faces.zip' is neither a folder nor a whole zip archive"):
            prepare(path, resolution=16, cache_dir=cache)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(UserError, match="no images in 'faces.zip'"):
        prepare(path, resolution=16, cache_dir=cache)


def test_cache_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    picture(0).save(folder / "a.png")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="the cache in '.*' cannot be written: .*--cache_dir"):
        prepare(folder, resolution=16, cache_dir=tmp_path / "file")


@pytest.mark.skipif(os.name == "nt", reason="limits on file sizes are a POSIX feature")
def test_full_disk_leaves_a_sentence_and_nothing_else(folder: Path, cache: Path) -> None:
    """A limit on the size of files makes writing fail half-way, as a full disk does."""
    for i in range(40):
        picture(i, (64, 64)).save(folder / f"{i:02}.png")
    code = (
        "import sys, resource; from train.data.dataset import prepare; from train.errors import UserError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: prepare(sys.argv[1], resolution=64, cache_dir=sys.argv[2])\n"
        "except UserError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code, folder, cache], cwd=ROOT, capture_output=True, text=True)
    assert "cannot be written: File too large; free some space" in ran.stdout, ran.stderr
    assert list(cache.iterdir()) == []
    assert len(prepare(folder, resolution=64, cache_dir=cache)) == 40


@pytest.mark.parametrize("damage", ["cut", "empty", "counts", "half"])
def test_damaged_cache_is_made_anew(folder: Path, cache: Path, damage: str) -> None:
    for i in range(3):
        picture(i).save(folder / f"{i}.png")
    want = np.array(prepare(folder, resolution=16, cache_dir=cache).images)
    (array,), (counts,) = cache.glob("*.npy"), cache.glob("*.json")
    if damage == "cut":
        array.write_bytes(array.read_bytes()[:-100])
    elif damage == "empty":
        array.write_bytes(b"")
    elif damage == "counts":
        counts.write_text('{"found": 3')
    else:
        counts.unlink()
    found = prepare(folder, resolution=16, cache_dir=cache)
    assert np.array_equal(found.images, want) and json.loads(counts.read_text())["found"] == 3


def test_processes_that_prepare_at_once_do_not_disturb_each_other(folder: Path, cache: Path) -> None:
    for i in range(300):
        picture(i).save(folder / f"{i}.png")
    code = (
        "import sys; from train.data.dataset import prepare\n"
        "s = prepare(sys.argv[1], resolution=16, cache_dir=sys.argv[2]); print(len(s), s.images[:].sum())"
    )
    command = [sys.executable, "-c", code, folder, cache]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = {process.communicate()[0].strip() for process in running}
    names = sorted(folder / f"{i}.png" for i in range(300))
    total = sum(int(np.asarray(Image.open(name)).sum()) for name in names)
    assert outputs == {f"300 {total}"}
    assert sorted(p.suffix for p in cache.iterdir()) == [".json", ".npy"]


def test_default_cache_is_where_xdg_says(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    picture(0).save(folder / "a.png")
    prepare(folder, resolution=16)
    assert default_cache_dir() == tmp_path / "xdg" / "anime-dcgan" and len(list(default_cache_dir().iterdir())) == 2
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "anime-dcgan"


def test_datasets_is_imported_only_when_asked_for(folder: Path, cache: Path) -> None:
    picture(0).save(folder / "a.png")
    code = (
        "import sys; from train.data.dataset import prepare\n"
        "prepare(sys.argv[1], resolution=16, cache_dir=sys.argv[2]); print('datasets' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code, folder, cache], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.strip() == "False", ran.stderr


def test_hub_dataset(tmp_path: Path, cache: Path, monkeypatch) -> None:
    """The real ``datasets`` on a dataset of parquet files, as the Hub keeps them."""
    datasets = pytest.importorskip("datasets")
    images = [picture(0), picture(1, (40, 16)), picture(0), Image.new("RGBA", (16, 16), (0, 0, 0, 0))]
    cells = [{"bytes": encoded(image), "path": None} for image in images]
    cells += [{"bytes": b"text", "path": None}, None]
    features = datasets.Features({"label": datasets.Value("int64"), "face": datasets.Image()})
    (tmp_path / "hub").mkdir()
    dataset = datasets.Dataset.from_dict({"label": list(range(6)), "face": cells}, features=features)
    dataset.to_parquet(tmp_path / "hub" / "train.parquet")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")

    found = prepare_hub(str(tmp_path / "hub"), resolution=16, cache_dir=cache)
    assert (len(found), found.found, found.duplicates) == (3, 6, 1)
    assert found.unreadable == [("row 4", "not an image"), ("row 5", "the row is empty")]
    assert np.array_equal(found.images[0], np.asarray(picture(0))) and (found.images[2] == 255).all()
    again = prepare_hub(str(tmp_path / "hub"), image_column="face", resolution=16, cache_dir=cache)
    assert again.fingerprint == found.fingerprint
    with pytest.raises(UserError, match=r"no image column 'label' \(it has: label, face\)"):
        prepare_hub(str(tmp_path / "hub"), image_column="label", resolution=16, cache_dir=cache)
    with pytest.raises(UserError, match="cannot be loaded: .*validation"):
        prepare_hub(str(tmp_path / "hub"), split="validation", resolution=16, cache_dir=cache)
    with pytest.raises(UserError, match="dataset '.*nowhere' cannot be loaded"):
        prepare_hub(str(tmp_path / "nowhere"), resolution=16, cache_dir=cache)


@pytest.mark.skipif(not FACES.exists(), reason=f"{FACES} is not there")
def test_the_21551_faces(faces_cache: Path) -> None:
    found = prepare(FACES, resolution=64, cache_dir=faces_cache)
    assert (len(found), found.found, found.duplicates, found.unreadable) == (21_551, 21_551, 0, [])
    assert found.images.shape == (21_551, 64, 64, 3)
    with zipfile.ZipFile(FACES) as archive:
        names = sorted(archive.namelist())
        for i in (0, 10_000, 21_550):
            want = np.asarray(Image.open(io.BytesIO(archive.read(names[i]))).convert("RGB"))
            assert np.array_equal(found.images[i], want)


# Batches


def numbered(n: int) -> np.ndarray:
    """n pictures of 4x4 whose left half holds their number and whose right half holds 255."""
    images = np.full((n, 4, 4, 3), 255, np.uint8)
    images[:, :, :2] = np.arange(n, dtype=np.uint8)[:, None, None, None]
    return images


def numbers(batch: torch.Tensor) -> list[int]:
    """Which pictures a batch holds, flipped or not."""
    return ((batch[:, 0, 0, [0, -1]].amin(1) + 1) * 127.5).round().int().tolist()


def test_batches_are_normalised_channels_last_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)
    images[0, 0, 0] = (0, 255, 128)
    batches = Batches(images, 8, seed=0, device="cpu", flip=False)
    batch = next(batches)
    assert batch.shape == (8, 3, 4, 4) and batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    pixels = ((batch + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert sorted(p.tobytes() for p in pixels) == sorted(p.tobytes() for p in images)
    assert batch.min() == -1 and batch.max() == 1 and batches.position == 8


@pytest.mark.parametrize("batch_size", [1, 4, 7, 10])
def test_each_epoch_visits_every_image_once(batch_size: int) -> None:
    batches = Batches(numbered(10), batch_size, seed=3, device="cpu")
    seen = [number for _ in range(70) for number in numbers(next(batches))]
    epochs = [seen[i : i + 10] for i in range(0, len(seen) - 9, 10)]
    assert len(epochs) >= 7 and all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)  # shuffled anew every time


def test_flips_come_half_of_the_time_and_only_when_asked() -> None:
    batches = Batches(numbered(200), 100, seed=0, device="cpu")
    flipped = sum(int((next(batches)[:, 0, 0, 0] == 1).sum()) for _ in range(20))
    assert 900 < flipped < 1100
    plain = Batches(numbered(200), 100, seed=0, device="cpu", flip=False)
    assert all((next(plain)[:, 0, 0, -1] == 1).all() for _ in range(4))


def test_resume_by_position_gives_equal_batches() -> None:
    first = Batches(numbered(50), 8, seed=5, device="cpu")
    run = [next(first) for _ in range(30)]  # crosses four ends of epochs
    for step in (0, 6, 7, 20):
        resumed = Batches(numbered(50), 8, seed=5, device="cpu")
        resumed.position = step * 8
        assert all(torch.equal(next(resumed), batch) for batch in run[step:])
    first.position = 0  # and back again
    assert torch.equal(next(first), run[0])
    other = Batches(numbered(50), 8, seed=6, device="cpu")
    assert not torch.equal(next(other), run[0])


def test_batches_do_not_touch_the_global_random_state() -> None:
    before = torch.get_rng_state()
    next(Batches(numbered(9), 4, seed=0, device="cpu"))
    assert torch.equal(before, torch.get_rng_state())


def test_two_ranks_join_to_the_batch_of_one() -> None:
    whole = Batches(numbered(30), 8, seed=1, device="cpu")
    parts = [Batches(numbered(30), 4, seed=1, device="cpu", rank=rank, world_size=2) for rank in (0, 1)]
    for _ in range(12):
        assert torch.equal(next(whole), torch.cat([next(part) for part in parts]))
    assert whole.position == parts[0].position == parts[1].position == 96


def test_the_next_batch_is_read_ahead_from_a_mapped_file(tmp_path: Path, monkeypatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 64, 64, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    asked, really = set(), os.posix_fadvise

    def advise(file: int, offset: int, length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_WILLNEED
        asked.add(os.pread(file, length, offset))
        really(file, offset, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", advise)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    batches = Batches(mapped, 4, seed=0, device="cpu", rank=1, world_size=2, flip=False)
    next(batches)
    for _ in range(20):  # over several ends of epochs
        ahead = asked.copy()
        asked.clear()
        pixels = ((next(batches) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        assert {image.tobytes() for image in pixels} == ahead and len(asked) == 4
    asked.clear()
    next(Batches(images, 4, seed=0, device="cpu"))  # in memory
    assert not asked


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_text("before", tmp_path / "a")
    with pytest.raises(KeyError), atomic_file(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "before"}
    with (
        atomic_file(tmp_path / "a") as first,
        atomic_file(tmp_path / "a") as second,
    ):  # two writers do not disturb each other
        first.write_text("first")
        second.write_text("second")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "first"}
    code = "import os; from pathlib import Path; from train.output.files import atomic_file\n"
    code += "with atomic_file(Path('a')) as file: file.write_text('half'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    (tmp_path / ".mine.tmp").write_text("not ours")
    assert len(list(tmp_path.iterdir())) == 3 and (tmp_path / "a").read_text() == "first"
    remove_leftovers(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"a", ".mine.tmp"}


def test_fewer_images_than_the_batch() -> None:
    with pytest.raises(UserError, match="5 images are fewer than the batch of 6"):
        Batches(numbered(5), 3, seed=0, device="cpu", world_size=2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_on_the_gpu_equal_those_on_the_cpu(monkeypatch) -> None:
    cpu, resident = (Batches(numbered(50), 8, seed=2, device=device) for device in ("cpu", "cuda"))
    gathered = Batches(numbered(50), 8, seed=2, device="cuda")
    assert resident._resident is not None
    gathered._resident = None
    for _ in range(10):
        want = next(cpu)
        for batches in (resident, gathered):
            batch = next(batches)
            assert batch.is_cuda and torch.allclose(batch.cpu(), want, atol=1e-6)


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    def fill(text: str, fail: bool = False) -> None:
        with replace_folder(tmp_path / "weights") as folder:
            (folder / f"{text}.txt").write_text(text)
            if fail:
                raise OSError("no space left")

    fill("first")
    with pytest.raises(OSError, match="no space left"):
        fill("second", fail=True)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.txt")] == ["weights/first.txt"]
    fill("third")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.txt")] == ["weights/third.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]
