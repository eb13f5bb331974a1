"""Hashes of the decoded frames of eleven runs of the command line, to see whether a change altered any pixel.

    python benchmarks/frame_hashes.py --out before.json      # before the change
    python benchmarks/frame_hashes.py --compare before.json  # after it; exits with 1 where a hash differs

The runs cover the demo, a prompt, two references, a motion track saved and played at another frame rate, face crops,
several denoising steps, WebM, tiny random checkpoints in the layouts of EchoMimic, AniPortrait and AnimateDiff, and an
edited portrait. Hashes hold for one machine and one version of torch only.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "tiny")]

from tiny_public import random_reference_model, tiny_aniportrait, tiny_echomimic, write_public  # noqa: E402
from tiny_sd15 import public_files, random_model, tiny, write_vocabulary  # noqa: E402

from portraittalk.media.image import read_image  # noqa: E402
from portraittalk.media.reader import read_video  # noqa: E402
from portraittalk.weights.layouts import LAYOUTS  # noqa: E402
from portraittalk.weights.public import convert  # noqa: E402

DEMO = ROOT / "portraittalk" / "assets" / "demo"
SMALL = ("--max-size", "384")


def runs(folder: Path) -> dict[str, list[str]]:
    """Name -> arguments of `portraittalk`; the output of each is the option --out, a video or a PNG file."""
    second = folder / "second.png"
    ImageOps.mirror(Image.open(DEMO / "portrait.jpg")).save(second)
    speech = ("--audio", str(DEMO / "speech.wav"))
    animate = ("animate", str(DEMO / "portrait.jpg"), *speech)
    public = (*animate, *SMALL, "--preview", "0.5", "--models-dir", str(folder))
    motion = str(folder / "motion.json")
    return {
        "demo": [*animate, "--preview", "2", "--out", "demo.mp4"],
        "prompt": [*animate, "--preview", "1", "--prompt", "a wide smile, oil painting", "--out", "prompt.mp4"],
        "references": [
            "animate",
            str(DEMO / "portrait.jpg"),
            str(second),
            *speech,
            "--preview",
            "1",
            *SMALL,
            "--out",
            "references.mp4",
        ],
        "motion_out": [
            *animate,
            "--preview",
            "1",
            *SMALL,
            "--seed",
            "3",
            "--fps",
            "25",
            "--motion-out",
            motion,
            "--out",
            "motion_out.mp4",
        ],
        "motion_in": [
            *animate,
            "--preview",
            "1",
            *SMALL,
            "--fps",
            "30",
            "--motion-in",
            motion,
            "--head-motion",
            "1.5",
            "--out",
            "motion_in.mp4",
        ],
        "crops": [*animate, "--preview", "1", "--no-paste-back", "--out", "crops.mp4"],
        "steps": [
            *animate,
            "--preview",
            "0.7",
            *SMALL,
            "--steps",
            "3",
            "--seed",
            "7",
            "--audio-scale",
            "0.5",
            "--out",
            "steps.mp4",
        ],
        "webm": [*animate, "--preview", "0.7", *SMALL, "--out", "webm.webm"],
        "echomimic": [*public, "--model", "tiny_echomimic", "--out", "echomimic.mp4"],
        "aniportrait": [*public, "--model", "tiny_aniportrait", "--prompt", "a smile", "--out", "aniportrait.mp4"],
        "animatediff": [
            *public,
            "--model",
            "tiny_animatediff",
            "--prompt",
            "old woman",
            "--negative-prompt",
            "man",
            "--steps",
            "3",
            "--strength",
            "0.8",
            "--out",
            "animatediff.mp4",
        ],
        "edit": [
            "edit",
            str(DEMO / "portrait.jpg"),
            *SMALL,
            "--models-dir",
            str(folder),
            "--model",
            "tiny_animatediff",
            "--prompt",
            "old woman",
            "--steps",
            "3",
            "--out",
            "edit.png",
        ],
    }


def write_checkpoints(folder: Path) -> None:
    """Tiny random models of the three public layouts, as files that `--models-dir` finds."""
    configs = {"echomimic": tiny_echomimic(), "aniportrait": tiny_aniportrait()}
    for name, config in configs.items():
        layout = replace(LAYOUTS[name], config=replace(config, steps=2))
        public = folder / "public" / name
        public.mkdir(parents=True)
        convert(
            layout,
            write_public(layout, random_reference_model(layout), public),
            folder / f"tiny_{name}.safetensors",
        )
    layout = tiny(LAYOUTS["animatediff"])
    public = folder / "public" / "animatediff"
    public.mkdir(parents=True)
    convert(layout, public_files(layout, random_model(layout), public), folder / "tiny_animatediff.safetensors")
    write_vocabulary(folder / "clip-tokenizer")


def hash_of(path: Path) -> str:
    """SHA-256 of the decoded frames and their count."""
    frames = [read_image(path).pixels] if path.suffix == ".png" else read_video(path)
    digest, count = hashlib.sha256(), 0
    for frame in frames:
        digest.update((frame * 255).round().to(torch.uint8).contiguous().numpy().tobytes())
        count += 1
    return f"{digest.hexdigest()[:24]} ({count} frames)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write the hashes to")
    parser.add_argument("--compare", type=Path, help="JSON file of hashes that have to be met")
    parser.add_argument("--only", nargs="+", help="names of runs")
    arguments = parser.parse_args()
    wanted = json.loads(arguments.compare.read_text()) if arguments.compare else {}
    found, differ = {}, []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_checkpoints(folder)
        for name, options in runs(folder).items():
            if arguments.only and name not in arguments.only:
                continue
            command = [sys.executable, "-m", "portraittalk", *options]
            done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{name}: {done.stderr}")
            found[name] = hash_of(folder / options[-1])
            same = "" if name not in wanted else "  as before" if wanted[name] == found[name] else "  DIFFERS"
            print(f"{name:12} {found[name]}{same}", flush=True)
            if same.strip() == "DIFFERS":
                differ.append(name)
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    if differ:
        sys.exit(f"{len(differ)} of {len(found)} runs made other frames: {', '.join(differ)}")


def environment() -> dict[str, str]:
    """That of this process; the package is found where this script lies."""
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    main()
