"""Processor time of the compositing of mini's frames on one core: structure (flow, the warped and painted window) and
paste-back, each for as many frames at once as in a run.

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
from portraittalk.compositing.window_layers import Layers
from portraittalk.memory.reuse import keep_freed_memory
from portraittalk.pipelines.window import DRAWN_TOGETHER, pasted_together
from portraittalk.sampling.settings import usual_settings
from portraittalk.types import Structure

DEMO = Path(__file__).parent.parent / "portraittalk" / "assets" / "demo"
START, ROUNDS = 16, 15


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
    keep_freed_memory()  # as the command line does
    model = load_model()
    identity = model.encode_identity([read_image(arguments.portrait).flattened()])
    speech = model.encode_speech(read_audio(DEMO / "speech.wav", duration=2.0), 25.0)
    chunk = usual_settings(model.config).chunk
    together = DRAWN_TOGETHER * chunk
    pasted_at_once = pasted_together(identity.portrait, chunk)
    track = model.make_motion(speech, seed=0)[START : START + together]
    layers = Layers(identity, model.config, None)

    def compositor() -> Compositor:
        return Compositor(identity.portrait, identity.crop, Head(identity, model.basis), identity.landmarks)

    def build() -> Structure:
        return build_structure(identity, track, model.basis, model.config, turn_later=True)

    composed, structure = compositor(), build()[:pasted_at_once]
    picture = structure.warped + 0.01

    def paste() -> object:
        shown = layers(structure, picture)
        fields = (structure.flow, shown.residual, shown.mask, shown.instead, structure.pose, structure.closure)
        return composed(*fields, drawn=shown.drawn)

    built, pasted = 1000 * fastest(build) / together, 1000 * fastest(paste) / pasted_at_once
    print("x".join(str(side) for side in identity.portrait.shape[:0:-1]), end=": ")
    print(f"structure {built:.1f} ms, paste-back {pasted:.1f} ms, together {built + pasted:.1f} ms a frame")
    print(f"once a portrait: {1000 * fastest(compositor, 2):.0f} ms")


if __name__ == "__main__":
    main()
