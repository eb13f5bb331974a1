"""Pipeline of ``mini``: AnimateNet draws a window about the mouth; the portrait itself is moved for everything else.

The network sees what geometry makes of the window, and answers with latents of what should be there. Only the
difference that they make to the decoded latents of its input is added, so that a photograph's own pixels stay sharp.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ..compositing.compose import Compositor
from ..compositing.head import Head
from ..compositing.lender import lender, may_lend, relit
from ..compositing.light import face_light
from ..compositing.mouth_inside import mouth_inside
from ..compositing.mouth_window import close_up, mouth_window, shown_size, view_of, window_of
from ..compositing.window_layers import Layers
from ..memory.shortage import is_shortage, release
from ..models.animate_net import Conditions
from ..models.autoencoder import decoded_difference
from ..models.difference_decoder import DifferenceDecoder
from ..progress import ProgressCallback, ignore_progress
from ..sampling.denoise import denoise
from ..sampling.steps import velocity_steps
from ..sampling.windows import frame_noise
from ..types import CloseUp, Crop, Identity, SamplingSettings, Speech, Structure, Style, View
from .base import FROM_THE_START, Checkpoint, Output, StructureOf
from .finite import check_finite
from .overlap import Stages, runs_together
from .own import OwnPipeline
from .streaming import Counter
from .suitability import warning_about_lender

logger = logging.getLogger(__name__)

DRAWN_TOGETHER = 3  # chunks that are warped and drawn at once: of few small pictures, most time goes into the calls
LARGEST_KEPT = 30 << 20  # bytes of pasted frames: the C library clears larger blocks anew for every chunk


def drawn_together(count: int, chunk: int) -> list[slice]:
    """Return the frames that are warped and drawn at once. The first are fewer, so that they come soon."""
    starts, together = [0], chunk
    while starts[-1] + together < count:
        starts.append(starts[-1] + together)
        together = min(2 * together, DRAWN_TOGETHER * chunk)
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], count], strict=True)]


def pasted_together(portrait: Tensor, chunk: int) -> int:
    """Return how many frames are pasted into a portrait (3, H, W) at once: a chunk, or fewer of a large portrait."""
    return min(chunk, max(LARGEST_KEPT // (4 * portrait.numel()), 1))


def parts_of(frames: slice, size: int) -> list[slice]:
    """Return parts of at most ``size`` frames."""
    return [slice(start, min(start + size, frames.stop)) for start in range(frames.start, frames.stop, size)]


def lending(landmarks: Tensor) -> list[int]:
    """Return the numbers of pictures, with landmarks (N, 478, 3), whose mouth can be lent to the first, the portrait.

    Warns of those whose mouth is open and that cannot be.
    """
    numbers = []
    for number in range(1, len(landmarks)):
        if may_lend(landmarks[number], landmarks[0]):
            warning = warning_about_lender(number, landmarks[number])
            if warning is None:
                numbers.append(number)
            else:
                logger.warning(warning)
    return numbers


@dataclass(frozen=True)
class WindowInputs:
    """What the network draws the windows of F frames from.

    tokens: (1, T, D), of the person. structure: of these frames. speech: (F, S, M), their features. noise:
    (1, C, h, w), see ``WindowPipeline.noise``.
    """

    tokens: Tensor
    structure: Structure
    speech: Tensor
    noise: Tensor

    def __len__(self) -> int:
        return len(self.structure)

    def __getitem__(self, frames: slice) -> "WindowInputs":
        return replace(self, structure=self.structure[frames], speech=self.speech[frames])


@dataclass(frozen=True)
class WindowPipeline(OwnPipeline):
    """The pipeline of ``mini``. difference_decoder: None for models whose autoencoder decodes twice instead."""

    difference_decoder: DifferenceDecoder | None = None

    def _complete_person(
        self, identity: Identity, images: list[Tensor], crops: list[Crop], cropped: Tensor, landmarks: Tensor
    ) -> Identity:
        """Add close-ups of the mouth, and the identity tokens of all references."""
        size, crop_size = self.config.window_size, self.config.crop_size
        lights = [face_light(picture, points) for picture, points in zip(cropped, landmarks, strict=True)]

        def shown_at(pixels: int) -> list[CloseUp]:
            each = zip(images, crops, landmarks, lights, strict=True)
            return [close_up(image, crop, points, pixels, light) for image, crop, points, light in each]

        seen, pixels = shown_at(size), shown_size(crops[0], size)
        windows = torch.stack([window_of(one, mouth_window(one.landmarks, crop_size), size) for one in seen])
        tokens = self.identity_net(windows.to(next(self.identity_net.parameters()))).float()
        shown = seen if pixels == size else shown_at(pixels)
        mouths = {number: shown[number] for number in lending(landmarks)}
        if mouths:
            number, mouth = lender(mouths, shown[0], crop_size, self.basis.mean.to(landmarks))
            view = View(relit(cropped[number], lights[number], lights[0]), landmarks[number])
            return replace(identity, tokens=tokens, open_mouth=view, close_ups=(shown[0], mouth))
        # Looked for once, because it waits for the device several times.
        portrait = replace(shown[0], inside=mouth_inside(view_of(shown[0], crop_size)))
        return replace(identity, tokens=tokens, open_mouth=None, close_ups=(portrait,))

    def _encode_person(self, identity: Identity, references: Tensor) -> Identity:
        return identity

    def render(
        self,
        identity: Identity,
        speech: Speech,
        style: Style,
        structure_of: StructureOf,
        settings: SamplingSettings,
        output: Output = "full",
        progress: ProgressCallback = ignore_progress,
        checkpoint: Checkpoint = FROM_THE_START,
    ) -> Iterator[Tensor]:
        """See ``PipelineBase.render``. Nothing is computed before the first frames are asked for."""
        count = len(speech)
        pasted_at_once = pasted_together(identity.portrait, settings.chunk)
        work = [(frames, parts_of(frames, pasted_at_once)) for frames in drawn_together(count, settings.chunk)]
        tick = Counter(progress, sum(len(parts) for _, parts in work))
        tick.skip(checkpoint.start / count)
        tick.again()
        painter = self._painter(identity, style, settings.scales.text)
        portrait = identity.portrait if painter is None else painter.portrait
        layers = Layers(identity, self.config, painter)
        noise = self.noise(settings.seed)
        if not checkpoint.start:
            checkpoint.save(0, noise)  # no frame needs another, so the run can be taken up after any of them

        @torch.no_grad()
        def compositor(on_step: Callable[[], None]) -> Callable[..., Tensor]:
            found = Compositor(portrait, identity.crop, Head(identity, self.basis), identity.landmarks, on_step)
            return found if output == "full" else found.crops

        def warped(frames: slice) -> tuple[int, WindowInputs]:
            features = speech.features[frames].to(self.device)
            return frames.start, WindowInputs(identity.tokens, structure_of(frames), features, noise)

        def drawn(made: tuple[int, WindowInputs]) -> tuple[int, Structure, Tensor]:
            start, inputs = made
            try:
                return start, inputs.structure, self.draw(inputs, settings, stages.stop)
            except Exception as error:
                if len(inputs) <= settings.chunk or not is_shortage(error):
                    raise
            # Outside of the handler, whose error holds what has been computed.
            release()
            parts = parts_of(slice(0, len(inputs)), settings.chunk)
            pictures = [self.draw(inputs[part], settings, stages.stop) for part in parts]
            return start, inputs.structure, torch.cat(pictures)

        @torch.no_grad()
        def pasted(paste: Callable[..., Tensor], made: tuple[int, Structure, Tensor], frames: slice) -> Tensor:
            start, structure, picture = made
            some = slice(frames.start - start, frames.stop - start)
            structure = structure[some]
            shown = layers(structure, picture[some])
            return paste(
                structure.flow,
                shown.residual,
                shown.mask,
                shown.instead,
                structure.pose,
                structure.closure,
                drawn=shown.drawn,
            ).cpu()

        stages = Stages(compositor, warped, drawn, pasted, tick.again)
        left = [(frames, [part for part in parts if part.start >= checkpoint.start]) for frames, parts in work]
        left = [(frames, parts) for frames, parts in left if parts]
        ends = [part.stop for _, parts in left for part in parts]
        for end, finished in zip(ends, stages(left, runs_together(self.device)), strict=True):
            tick(finished[-1])
            yield finished
            if end < count:
                checkpoint.save(end, None)

    def noise(self, seed: int) -> Tensor:
        """Draw the initial noise (1, C, h, w), which is the same for all frames, so that nothing flickers."""
        shape = (self.config.autoencoder.latent_channels, self.config.latent_size, self.config.latent_size)
        return frame_noise(seed, 0, 1, shape).to(self.device)

    @torch.no_grad()
    def draw(
        self, inputs: WindowInputs, settings: SamplingSettings, on_step: Callable[[], None] = lambda: None
    ) -> Tensor:
        """Return the network's pictures of the windows of F frames, (F, 3, W, W), not clamped.

        They have the density of ``structure``: the network adds its difference to what geometry shows.

        on_step: called after every denoising step; it may raise.
        """
        latents, base = self.latents(inputs, settings, on_step)
        if self.difference_decoder is not None:
            difference = self.difference_decoder(latents.to(self.dtype), base.to(self.dtype)).float()
        else:
            difference = decoded_difference(self.autoencoder, latents.to(self.dtype), base.to(self.dtype))
        warped = inputs.structure.warped
        if difference.shape[-1] != warped.shape[-1]:
            difference = interpolate(difference, warped.shape[-2:], mode="bicubic")
        return check_finite(warped + difference, self.config)

    @torch.no_grad()
    def latents(
        self, inputs: WindowInputs, settings: SamplingSettings, on_step: Callable[[], None] = lambda: None
    ) -> tuple[Tensor, Tensor]:
        """Return the latents that AnimateNet draws and those of its input, (F, C, h, w). Arguments as of ``draw``."""
        net, structure, count = self.animate_net, inputs.structure, len(inputs)
        seen, size = structure.warped, self.config.window_size
        if seen.shape[-1] != size:
            seen = interpolate(seen, (size, size), mode="bilinear", antialias=True)
        base = self.autoencoder.encode(seen.to(self.dtype)).float()
        conditions = Conditions(
            warped=base[:, :, None],
            mask=adaptive_avg_pool2d(structure.mask, self.config.latent_size)[:, :, None],
            map=structure.map[:, None],
            identity=inputs.tokens.expand(count, -1, -1),
            speech=inputs.speech[:, None],
            structure=structure.coefficients[:, None],
        ).to(self.device, self.dtype)
        prepared = net.prepare(conditions, settings.scales)
        start = inputs.noise.expand(count, -1, -1, -1)[:, :, None]
        steps = velocity_steps(settings.steps)
        sampled = denoise(net, start, start, steps, lambda frames: prepared, on_step=lambda sample: on_step())
        return base + sampled[:, :, 0] / self.config.animate_net.residual_scale, base
