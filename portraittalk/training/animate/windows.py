"""Training of AnimateNet on mouth windows: the same networks as in ``stages``, with a window as their crop.

The network answers in one step, from the last timestep, and is judged by what is seen: its latents are decoded, shown
about the lips over the warped window, and compared with the real mouth by pixels, edges, VGG features and a patch
discriminator that sees the warped window beside the picture. A squared error of latents would teach it the mean of all
mouths that the input allows, which is a haze.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

import torch
from annotated_types import Gt
from torch import Generator, Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ...compositing.draw import landmark_map, mouth_opening
from ...compositing.mouth_window import drawn_region
from ...compositing.structure import structure_coefficients
from ...config import PortraitTalkConfig
from ...errors import MediaError
from ...models.animate_net import Conditions
from ...models.autoencoder import Autoencoder
from ...motion.geometry import lip_aperture
from ...motion.track import MotionTrack
from ...sampling.steps import TRAINING_STEPS
from ...tensor_files import read_tensors
from ..data.clips import choose, jitter_colour, uniform
from ..data.mouths import WINDOW
from ..trainer import Batch, Draw, TrainerConfig, fit, stacked
from .adversary import PatchDiscriminator, adversarial_losses
from .autoencoder import reconstruction_loss
from .pairs import MIRRORED
from .perceptual import VggFeatures, feature_distance, random_cuts
from .stages import Networks, leave_out_motion

DRAWN = ("map", "region", "opening")
SKIN, OPENING = 0.25, 2.0  # weights of pixels beside those that are drawn, and, in addition, of those between the lips
MIDDLE = (slice(16, 112), slice(8, 120))  # rows and columns of a window that lips can reach


@dataclass(frozen=True)
class WindowAnimateTraining:
    """portraits: fraction of samples from driven portraits. white_balance: largest change of each channel, in octaves.
    references: probability that all references are shown, not the first alone. dropout: probability, independently for
    each condition, that it is dropped.

    features, adversary: weights of the VGG distance and of the patch discriminator, on ``cuts`` squares of ``cut``
    pixels a step; 0 for none.
    """

    batch: Annotated[int, Gt(0)] = 12
    portraits: float = 0.35
    white_balance: float = 0.3
    references: float = 0.6
    dropout: float = 0.1
    features: float = 0.15
    adversary: float = 0.0
    cuts: Annotated[int, Gt(0)] = 6
    cut: Annotated[int, Gt(0)] = 64
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


class WindowAnimateNetworks(Networks):
    """The networks to train, and the frozen autoencoder of windows."""

    def __init__(self, config: PortraitTalkConfig, autoencoder: Autoencoder) -> None:
        super().__init__(config)
        self.discriminator = PatchDiscriminator(6)
        self.frozen = [autoencoder.eval().requires_grad_(False)]  # in a list, so that it is not saved with the weights

    @property
    def autoencoder(self) -> Autoencoder:
        return self.frozen[0]


class WindowPairs:
    """Pair files of ``window_pairs`` in memory, with landmark maps of ``map_size`` cells a side."""

    def __init__(self, paths: list[Path], map_size: int) -> None:
        self.map_size = map_size
        files = {path: read_tensors(path)[1] for path in paths}
        for path, tensors in files.items():
            if "warped" not in tensors or "expression" not in tensors:
                raise MediaError(f"{path} is not a file of window pairs: give a folder of `train window-pairs`.")
        self.driven = [tensors for tensors in files.values() if "speech" not in tensors]
        speakers: dict[str, list[dict[str, Tensor]]] = {}
        for path, tensors in files.items():
            if "speech" in tensors:
                speakers.setdefault(path.stem.split("_")[0], []).append(tensors)
        self.speakers = list(speakers.values())
        counts = [sum(len(tensors["warped"]) for tensors in group) for group in self.speakers]
        self._weights = torch.tensor(counts, dtype=torch.float).sqrt()
        self._drawn: dict[tuple[int, int], dict[str, Tensor]] = {}

    def draw(self, portraits: float, generator: Generator) -> dict[str, Tensor]:
        """Return one pair: of a driven portrait with probability ``portraits``, else of a speaker.

        A driven portrait is given the speech of some speaker: without any, the network would know portraits by their
        silence, and would draw them differently as soon as they speak.
        """
        if not self.speakers:
            return self._any_of(self.driven, generator)
        spoken = self._any_of(self.speakers[int(torch.multinomial(self._weights, 1, generator=generator))], generator)
        if not self.driven or float(uniform(0, 1, generator)) >= portraits:
            return spoken
        return {**self._any_of(self.driven, generator), "speech": spoken["speech"]}

    def _any_of(self, files: list[dict[str, Tensor]], generator: Generator) -> dict[str, Tensor]:
        tensors = files[choose(len(files), generator)]
        index = choose(len(tensors["warped"]), generator)
        return {name: tensor[index] for name, tensor in tensors.items()} | self._drawings(tensors, index)

    def _drawings(self, tensors: dict[str, Tensor], index: int) -> dict[str, Tensor]:
        """Return ``drawings`` of a pair as bytes, from memory if it was drawn before: drawing is a tenth of a step."""
        key = (id(tensors), index)
        if key not in self._drawn:
            made = drawings(tensors["landmarks"][index], self.map_size)
            self._drawn[key] = {name: (drawing * 255).round().byte() for name, drawing in made.items()}
        return self._drawn[key]


def drawings(landmarks: Tensor, map_size: int) -> dict[str, Tensor]:
    """Return ``map`` (M, m, m), ``region`` and ``opening`` (1, W, W) in 0..1 of landmarks (478, 3) in a window."""
    points = landmarks[None]
    return {
        "map": landmark_map(points, WINDOW, map_size, eyes=False)[0],
        "region": drawn_region(points, WINDOW)[0],
        "opening": mouth_opening(points, WINDOW)[0],
    }


def batches(pairs: WindowPairs, config: PortraitTalkConfig, training: WindowAnimateTraining) -> Draw:
    """Return a function that draws batches of single frames, in the layouts of ``example``."""

    def draw(generator: Generator) -> Batch:
        references = 2 if float(uniform(0, 1, generator)) < training.references else 1
        return stacked(
            augmented(
                example(pairs.draw(training.portraits, generator), config, references),
                training.white_balance,
                generator,
            )
            for _ in range(training.batch)
        )

    return draw


def example(pair: dict[str, Tensor], config: PortraitTalkConfig, references: int) -> Batch:
    """Return the inputs and the target of a pair.

    ``warped``, ``target`` (3, W, W) and ``reference`` (R, 3, W, W) in 0..1, ``map`` (M, m, m), ``region`` and
    ``opening`` (1, W, W), ``expression`` (52,), ``aperture`` () and ``speech`` (S, M), zero where there is none.
    """
    landmarks = pair["landmarks"]
    speech = pair.get("speech", torch.zeros(config.speech.steps, config.speech.dim))
    known = {name: pair[name].float() / 255 for name in DRAWN if name in pair}
    return {
        "warped": pair["warped"].float() / 255,
        "target": pair["target"].float() / 255,
        "reference": pair["reference"][:references].float() / 255,
        "expression": pair["expression"].float(),
        "aperture": lip_aperture(landmarks),
        "speech": speech.float(),
        **(known or drawings(landmarks, config.structure.map_size)),
    }


def augmented(sample: Batch, white_balance: float, generator: Generator) -> Batch:
    """Change the colours of all pictures of an example alike, and mirror half of the examples."""
    pictures = torch.cat((sample["warped"][None], sample["target"][None], sample["reference"]))
    warped, target, *reference = jitter_colour(pictures, generator, white_balance=white_balance)
    sample = {**sample, "warped": warped, "target": target, "reference": torch.stack(reference)}
    if uniform(0, 1, generator) < 0.5:
        mirrored = {
            name: sample[name].flip(-1) for name in ("warped", "target", "reference", "map", "region", "opening")
        }
        sample = {**sample, **mirrored, "expression": sample["expression"][MIRRORED]}
    return sample


def window_conditions(
    model: WindowAnimateNetworks, batch: Batch, config: PortraitTalkConfig, keep: Tensor | None = None
) -> Conditions:
    """Return AnimateNet's conditioning for a batch of single frames.

    keep: (3, B) of 0 and 1: whether identity, speech and structure of a sample are given.
    """
    references = batch["reference"]
    features = model.identity_net.encoder(references.flatten(0, 1))
    identity = model.identity_net.tokens(features).unflatten(0, references.shape[:2]).flatten(1, 2)
    still = MotionTrack.of_expression(batch["expression"].cpu(), fps=25.0)
    structure = structure_coefficients(batch["expression"], still, batch["aperture"], config.structure.coefficients)
    speech = batch["speech"]
    if keep is not None:
        keep = keep.to(identity)
        identity = identity * keep[0][:, None, None]
        speech, structure = speech * keep[1][:, None, None], structure * keep[2][:, None]
    with torch.no_grad():
        warped = model.autoencoder.encode(batch["warped"]).float()
    return Conditions(
        warped=warped[:, :, None],
        mask=adaptive_avg_pool2d(batch["region"], config.latent_size)[:, :, None],
        map=batch["map"][:, None],
        identity=identity,
        speech=speech[:, None],
        structure=structure[:, None],
    )


def draw_window(
    model: WindowAnimateNetworks, warped: Tensor, conditions: Conditions, noise: Tensor, config: PortraitTalkConfig
) -> Tensor:
    """Return the network's pictures (B, 3, W, W), not clamped, in one step from noise (B, C, 1, h, w).

    They are the warped windows with the difference that the network makes, so that what the autoencoder cannot hold
    of them is kept.
    """
    timestep = torch.full((len(noise),), TRAINING_STEPS - 1, device=noise.device)
    velocity = model.animate_net(noise, timestep, conditions).float()
    # At the last timestep the noisy latents contain no signal: the velocity is the negated clean latents.
    assert conditions.warped is not None
    latents = conditions.warped - velocity / config.animate_net.residual_scale
    with torch.no_grad():
        plain = model.autoencoder.decode(conditions.warped[:, :, 0]).float()
    return warped + model.autoencoder.decode(latents[:, :, 0]).float() - plain


def window_loss(
    model: WindowAnimateNetworks,
    batch: Batch,
    vgg: VggFeatures | None,
    config: PortraitTalkConfig,
    training: WindowAnimateTraining,
    generator: Generator,
) -> dict[str, Tensor]:
    """Return the losses of a step; with ``training.adversary``, the discriminator learns in the same step."""
    target, warped, region = batch["target"], batch["warped"], batch["region"]
    keep = (torch.rand(3, len(target), generator=generator) >= training.dropout).float()
    conditions = window_conditions(model, batch, config, keep)
    noise = torch.randn(conditions.warped.shape, generator=generator).to(target)  # type: ignore[union-attr]  # given
    picture = draw_window(model, warped, conditions, noise, config)
    shown = warped.lerp(picture, region)
    weight = SKIN + region + OPENING * batch["opening"]
    pixels = reconstruction_loss(shown, target, weight / weight.mean())
    # Beside the region the picture is not shown, but it should not break there either.
    losses = {"loss": pixels + 0.1 * (picture - target).abs().mean(), "pixels": pixels.detach()}
    with torch.no_grad():
        losses["mouth"] = mouth_error(shown, target, batch["opening"])
        losses["mouth_warp"] = mouth_error(warped, target, batch["opening"])
    rows, columns = MIDDLE
    middles = tuple(tensor[..., rows, columns] for tensor in (shown, target, warped))
    made, real, given = random_cuts(middles, training.cut, training.cuts, generator)
    if vgg is not None and training.features:
        distance = feature_distance(vgg, made, real)
        losses["loss"] = losses["loss"] + training.features * distance
        losses["features"] = distance.detach()
    if training.adversary:
        generator_loss, discriminator_loss = adversarial_losses(model.discriminator, made, real, given)
        losses["loss"] = losses["loss"] + training.adversary * generator_loss + discriminator_loss
        losses["discriminator"] = discriminator_loss.detach()
    return losses


def mouth_error(picture: Tensor, target: Tensor, opening: Tensor) -> Tensor:
    """Return the mean absolute error between the lips, in 0..1."""
    return ((picture - target).abs() * opening).sum() / (3 * opening.sum().clamp_min(1))


@torch.no_grad()
def comparison(model: WindowAnimateNetworks, batch: Batch, config: PortraitTalkConfig) -> Batch:
    """Compare reference, warp, our result and target of every sample, in rows of a picture."""
    conditions = window_conditions(model, batch, config)
    noise = torch.randn(conditions.warped.shape, generator=Generator().manual_seed(0))  # type: ignore[union-attr]
    picture = draw_window(model, batch["warped"], conditions, noise.to(batch["target"]), config)
    shown = batch["warped"].lerp(picture, batch["region"]).clamp(0, 1)
    columns = (batch["reference"][:, 0], batch["warped"], shown, batch["target"])
    rows = [torch.cat(row, -1) for row in zip(*columns, strict=True)]
    half = (len(rows) + 1) // 2
    rows += [torch.zeros_like(rows[0])] * (2 * half - len(rows))
    sheet = torch.cat((torch.cat(rows[:half], -2), torch.cat(rows[half:], -2)), -1)
    return {
        "reference_warp_ours_target": sheet,
        "mouth": mouth_error(shown, batch["target"], batch["opening"]),
        "mouth_warp": mouth_error(batch["warped"], batch["target"], batch["opening"]),
    }


def train_windows(
    pairs: list[Path],
    model: WindowAnimateNetworks,
    config: PortraitTalkConfig,
    training: WindowAnimateTraining,
    out: Path,
    validation: list[Path] | None = None,
) -> WindowAnimateNetworks:
    """Train on pair files into ``out``, without motion modules; return the EMA networks.

    validation: pair files of held-out people; their first pairs are shown at each checkpoint.
    """
    torch.manual_seed(training.seed)
    leave_out_motion(model.animate_net)
    vgg = VggFeatures() if training.features else None
    held_out = None
    if validation:
        firsts = [{name: tensor[0] for name, tensor in read_tensors(path)[1].items()} for path in validation]
        held_out = stacked(example(pair, config, 1) for pair in firsts)

    def loss(networks: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        return window_loss(cast(WindowAnimateNetworks, networks), batch, vgg, config, training, generator)

    def validate(networks: nn.Module, step: int) -> dict[str, Tensor]:
        return {} if held_out is None else comparison(cast(WindowAnimateNetworks, networks), held_out, config)

    draw = batches(WindowPairs(pairs, config.structure.map_size), config, training)
    return cast(WindowAnimateNetworks, fit(model, draw, loss, training.trainer, out, training.seed, validate))
