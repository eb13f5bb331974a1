"""Hashes of the decoded frames of twelve command-line runs, to check whether a change alters any pixel.

    python benchmarks/frame_hashes.py --out before.json      # before the change
    python benchmarks/frame_hashes.py --compare before.json  # after it; exits with 1 if a hash differs

The runs cover the demo, a prompt, two references, a motion track saved and played at another frame rate, face crops,
several denoising steps, WebM, tiny random checkpoints in the layouts of EchoMimic, AniPortrait and AnimateDiff, and an
edited portrait. Hashes are comparable only on the same machine with the same version of torch.
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
    """Return name -> arguments of `portraittalk`, each ending in the output file: a video or a PNG."""
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
    """Write tiny random models of the three public layouts for `--models-dir`."""
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
    """Return the first 24 hex digits of the SHA-256 of all decoded frames, and their count."""
    frames = [read_image(path).pixels] if path.suffix == ".png" else read_video(path)
    digest, count = hashlib.sha256(), 0
    for frame in frames:
        digest.update((frame * 255).round().to(torch.uint8).contiguous().numpy().tobytes())
        count += 1
    return f"{digest.hexdigest()[:24]} ({count} frames)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write the hashes to")
    parser.add_argument("--compare", type=Path, help="JSON file of hashes to compare with")
    parser.add_argument("--only", nargs="+", help="names of the runs to do, by default all")
    arguments = parser.parse_args()
    expected = json.loads(arguments.compare.read_text()) if arguments.compare else {}
    hashes, differ = {}, []
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        write_checkpoints(folder)
        for name, options in runs(folder).items():
            if arguments.only and name not in arguments.only:
                continue
            command = [sys.executable, "-m", "portraittalk", *options]
            result = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
            if result.returncode:
                sys.exit(f"{name}: {result.stderr}")
            hashes[name] = hash_of(folder / options[-1])
            verdict = "" if name not in expected else "  same" if expected[name] == hashes[name] else "  DIFFERS"
            print(f"{name:12} {hashes[name]}{verdict}", flush=True)
            if verdict.strip() == "DIFFERS":
                differ.append(name)
    if arguments.out:
        arguments.out.write_text(json.dumps(hashes, indent=1) + "\n")
    if differ:
        sys.exit(f"The frames of {len(differ)} of {len(hashes)} runs differ: {', '.join(differ)}")


def environment() -> dict[str, str]:
    """Return this process's environment with this checkout on PYTHONPATH."""
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    main()
