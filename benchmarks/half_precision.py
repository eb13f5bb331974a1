"""What half precision changes in mini's mouth windows: against fp32, on the demo.

    python benchmarks/half_precision.py [--seconds 2]

Prints a Markdown table: mean and largest difference of the drawn windows in 1/255, with some networks in bf16 or fp16.
"""

import argparse
import copy
from dataclasses import replace
from pathlib import Path

import torch

from portraittalk import load_model, read_audio, read_image
from portraittalk.compositing.structure import build_structure
from portraittalk.errors import WeightsError
from portraittalk.pipelines.window import WindowInputs, WindowPipeline
from portraittalk.sampling.settings import usual_settings

DEMO = Path(__file__).parent.parent / "portraittalk" / "assets" / "demo"
DRAWING = ("autoencoder", "animate_net", "difference_decoder")
GROUPS = (("identity_net",), DRAWING, ("identity_net", *DRAWING))
FPS, CHUNK = 25.0, 4


@torch.no_grad()
def drawn(model: WindowPipeline, seconds: float) -> torch.Tensor:
    """Return the windows (F, 3, W, W) of the demo."""
    identity = model.encode_identity([read_image(DEMO / "portrait.jpg").flattened()])
    speech = model.encode_speech(read_audio(DEMO / "speech.wav", duration=seconds), FPS)
    track, noise, settings = model.make_motion(speech), model.noise(0), usual_settings(model.config)
    windows = []
    for start in range(0, len(speech), CHUNK):
        some = slice(start, start + CHUNK)
        structure = build_structure(identity, track[some], model.basis, model.config, True)
        inputs = WindowInputs(identity.tokens, structure, speech.features[some], noise)
        windows.append(model.draw(inputs, settings))
    return torch.cat(windows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    seconds = parser.parse_args().seconds
    model = load_model(dtype=torch.float32)
    assert isinstance(model, WindowPipeline)
    exact = drawn(model, seconds)
    print("| in half precision | bf16: mean, largest | fp16: mean, largest |\n|---|---|---|")
    for names in GROUPS:
        cells = []
        for dtype in (torch.bfloat16, torch.float16):
            halves = {name: copy.deepcopy(getattr(model, name)).to(dtype) for name in names}
            try:
                difference = 255 * (drawn(replace(model, **halves), seconds) - exact).abs()
            except WeightsError:
                cells.append("not finite")
            else:
                cells.append(f"{difference.mean():.2f}, {difference.max():.1f}")
        print(f"| {', '.join(names)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
