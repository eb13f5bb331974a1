"""Processor time of the compositing of mini's frames: structure (flow, warp, lids) and paste-back, on one core.

    python benchmarks/compositing_cost.py                 the demo portrait
    python benchmarks/compositing_cost.py PORTRAIT

Neither the network nor reading and writing files is counted. Every stage runs several times and the fastest run counts,
because other work on the machine slows memory down. To compare two versions, run both in turn.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch

from portraittalk import load_model, read_audio, read_image
from portraittalk.compositing.compose import Compositor
from portraittalk.compositing.head import Head
from portraittalk.compositing.structure import build_structure

DEMO = Path(__file__).parent.parent / "portraittalk" / "assets" / "demo"
FRAMES, START, ROUNDS = 8, 16, 15


def fastest(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the least processor time in seconds."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portrait", type=Path, nargs="?", default=DEMO / "portrait.jpg")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model()
    identity = model.encode_identity([read_image(arguments.portrait).flattened()])
    speech = model.encode_speech(read_audio(DEMO / "speech.wav", duration=2.0), 25.0)
    track = model.make_motion(speech, seed=0)[START : START + FRAMES]
    size = model.config.crop_size

    def compositor() -> Compositor:
        return Compositor(identity.portrait, identity.crop, Head(identity, model.basis), identity.landmarks)

    composed = compositor()
    structure = build_structure(identity, track, model.basis, model.config, turn_later=True)
    residual = torch.full((FRAMES, 3, size, size), 0.01)
    mouth = torch.zeros(FRAMES, 1, size, size)
    mouth[:, :, 150:200, 90:160] = 0.5
    picture = (structure.warped, mouth)

    def paste() -> object:
        return composed(structure.flow, residual, structure.mask, picture, structure.pose, structure.closure)

    def build() -> object:
        return build_structure(identity, track, model.basis, model.config, turn_later=True)

    built, pasted = (1000 * fastest(work) / FRAMES for work in (build, paste))
    print("x".join(str(side) for side in identity.portrait.shape[:0:-1]), end=": ")
    print(f"structure {built:.1f} ms, paste-back {pasted:.1f} ms, together {built + pasted:.1f} ms a frame")
    print(f"once a portrait: {1000 * fastest(compositor, 2):.0f} ms")


if __name__ == "__main__":
    main()
