"""Distillation of the difference decoder: one small network for the two passes of the autoencoder's decoder.

Its examples are made by the model itself, as it is used: it lets portraits speak, and keeps the latents that AnimateNet
draws, those of its input, and the difference between the pictures that the autoencoder makes of them.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

import torch
from annotated_types import Gt
from torch import Generator, Tensor, nn
from torch.nn.functional import interpolate

from ...config import AutoencoderConfig, DifferenceDecoderConfig
from ...errors import MediaError, PortraitTalkError, SettingsError
from ...media.image import read_image
from ...media.reader import read_video
from ...media.sound import open_audio
from ...media.source import VIDEOS
from ...models.autoencoder import decoded_difference
from ...models.difference_decoder import DifferenceDecoder
from ...output_files import make_folder
from ...pipelines.load import load_model
from ...pipelines.window import WindowInputs, WindowPipeline
from ...sampling.settings import usual_settings
from ...tensor_files import load_into, read_tensors
from ..data.clips import choose, jitter_colour, one_of, uniform
from ..data.prepare import write_clip
from ..trainer import Batch, Draw, TrainerConfig, fit

logger = logging.getLogger(__name__)

FPS, SECONDS = 25.0, 4.0  # of the speech of one picture
SIDES = (320, 1024)  # of the pictures, in pixels
PROMPTS = (*("",) * 5, "a big smile", "laughing", "surprised", "angry", "sad", "mouth wide open", "puckered lips")
STRENGTHS = (0.7, 1.5)  # of the expression
LEAST = 1e-3  # a mean difference, in 0..1, below which an example counts less
SHOWN = 12  # examples in a validation picture
TENSORS = ("latents", "base", "difference")


@dataclass(frozen=True)
class DifferenceTraining:
    batch: Annotated[int, Gt(0)] = 16
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def load_window_model(name: str) -> WindowPipeline:
    """Load a model in single precision, by its name or from a file.

    In bf16, the rounding of both decoded pictures would be as large as most differences between them. Raises
    SettingsError for a model that does not draw mouth windows.
    """
    model = load_model(Path(name) if Path(name).suffix == ".safetensors" else name, dtype=torch.float32)
    if not isinstance(model, WindowPipeline):
        raise SettingsError(f"The model '{name}' does not draw mouth windows: give one like mini.")
    return model


def write_differences(
    model: WindowPipeline, pictures: list[Path], sounds: list[Path], frames: int, seed: int, out: Path
) -> None:
    """Write a file of examples for every portrait, or video, whose first frame is used.

    Existing files are kept. Pictures without a face are left out with a warning.
    """
    make_folder(out)
    for number, path in enumerate(pictures):
        target = out / f"{path.stem}.safetensors"
        if target.exists():
            continue
        generator = Generator().manual_seed(seed + number)
        try:
            write_clip(target, spoken_differences(model, first_picture(path), sounds, frames, generator))
        except PortraitTalkError as error:
            logger.warning("%s is left out: %s", path.name, error)


def first_picture(path: Path) -> Tensor:
    """Return a picture (3, H, W) in 0..1, or the first frame of a video."""
    if path.suffix.lower() not in VIDEOS:
        return read_image(path).flattened()
    for frame in read_video(path):
        return frame
    raise MediaError(f"{path.name} has no frames: give another video.")


@torch.no_grad()
def spoken_differences(
    model: WindowPipeline, picture: Tensor, sounds: list[Path], frames: int, generator: Generator
) -> dict[str, Tensor]:
    """Return ``latents`` and ``base`` (N, C, h, w) of a portrait that speaks some of a sound, and the ``difference``
    (N, 3, S, S) of their pictures, in half precision.

    Size, colours, prompt and strength of the expression are random. Frames are spread over the speech.
    """
    scale = (SIDES[0] + choose(SIDES[1] - SIDES[0], generator)) / max(picture.shape[1:])
    if scale < 1:
        (picture,) = interpolate(picture[None], scale_factor=scale, mode="bicubic", antialias=True).clamp(0, 1)
    (picture,) = jitter_colour(picture[None], generator, 0.6, white_balance=0.3)
    identity = model.encode_identity([picture])
    path = one_of(sounds, generator)
    start = float(uniform(0, max(open_audio(path).seconds - SECONDS, 0.0), generator))
    speech = model.encode_speech(open_audio(path, start, SECONDS), FPS)
    style = model.encode_style(one_of(PROMPTS, generator))
    seed, strength = choose(2**31, generator), float(uniform(*STRENGTHS, generator))
    motion = model.make_motion(speech, seed, expression_strength=strength, style=style)
    track, basis = model.motion_for(speech, style, motion, 1.0)
    settings, noise = usual_settings(model.config), model.noise(seed)
    made: dict[str, list[Tensor]] = {name: [] for name in TENSORS}
    for index in torch.linspace(0, len(speech) - 1, min(frames, len(speech))).long().tolist():
        frame = slice(index, index + 1)
        structure = model.structure(identity, track[frame], basis)
        inputs = WindowInputs(identity.tokens, structure, speech.features[frame], noise)
        latents, base = model.latents(inputs, settings)
        difference = decoded_difference(model.autoencoder, latents, base)
        for name, tensor in zip(TENSORS, (latents, base, difference), strict=True):
            made[name].append(tensor.half())
    return {name: torch.cat(tensors) for name, tensors in made.items()}


def read_differences(paths: list[Path]) -> Batch:
    """Read all examples of some files into memory. Raises MediaError for a file of something else."""
    files = [read_tensors(path)[1] for path in paths]
    for path, tensors in zip(paths, files, strict=True):
        if not tensors.keys() >= set(TENSORS):
            raise MediaError(f"{path} holds no differences: give an output folder of `train window differences`.")
    return {name: torch.cat([tensors.pop(name) for tensors in files]) for name in TENSORS}


def batches(examples: Batch, training: DifferenceTraining) -> Draw:
    """Return a function that draws batches of examples."""

    def draw(generator: Generator) -> Batch:
        chosen = torch.randint(len(examples["base"]), (training.batch,), generator=generator)
        return {name: tensor[chosen].float() for name, tensor in examples.items()}

    return draw


def difference_loss(decoder: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return the errors of pixels and edges relative to each example's difference, which may be large or small."""
    truth = batch["difference"]
    error = decoder(batch["latents"], batch["base"]).float() - truth
    size = truth.abs().mean((1, 2, 3), keepdim=True) + LEAST
    pixels = (error.abs() / size).mean()
    across, down = (error.diff(dim=dim).abs() / size for dim in (-1, -2))
    return {"loss": pixels + across.mean() + down.mean(), "error": error.detach().abs().mean() / truth.abs().mean()}


@torch.no_grad()
def comparison(decoder: nn.Module, examples: Batch) -> dict[str, Tensor]:
    """Return a picture with differences of twice decoded pictures above those of this decoder, and the relative error.

    They are shown four times as large, about grey.
    """
    chosen = torch.linspace(0, len(examples["base"]) - 1, SHOWN).long()
    latents, base, truth = (examples[name][chosen].float() for name in TENSORS)
    made = decoder(latents, base)
    sheet = torch.cat([torch.cat(tuple(0.5 + 4 * row), -1) for row in (truth, made)], -2).clamp(0, 1)
    return {"twice_once": sheet, "held_out_error": (made - truth).abs().mean() / truth.abs().mean()}


def train_difference_decoder(
    files: list[Path],
    network: DifferenceDecoderConfig,
    autoencoder: AutoencoderConfig,
    training: DifferenceTraining,
    out: Path,
    start: Path | None = None,
    validation: list[Path] | None = None,
) -> DifferenceDecoder:
    """Train on files of ``write_differences`` into ``out``, from the weights in ``start`` if given.

    Returns the EMA network. validation: files of held-out people, shown at each checkpoint.
    """
    torch.manual_seed(training.seed)
    decoder = DifferenceDecoder(network, autoencoder)
    if start is not None:
        load_into(decoder, start)
    held_out = read_differences(validation) if validation else None

    def loss(network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        return difference_loss(network, batch)

    def validate(network: nn.Module, step: int) -> dict[str, Tensor]:
        return {} if held_out is None else comparison(network, held_out)

    draw = batches(read_differences(files), training)
    return cast(DifferenceDecoder, fit(decoder, draw, loss, training.trainer, out, training.seed, validate))
