"""From decoded latents to frames: an ordered list of layers, each a function from one ``FaceFrames`` to the next.

The network's picture comes first. A mouth interior is painted into it where the portrait shows none, parts borrowed
from other references are blended over it, the tone of a monochrome photograph is applied, and last the look that a
prompt asks for. ``Compositor`` then pastes the result into the portrait.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from ..config import PortraitTalkConfig
from ..models.autoencoder import Autoencoder
from ..models.face_basis import FaceBasis
from ..motion.geometry import lip_aperture
from ..types import Identity, Structure, Tongue
from .draw import drawn_share, mouth_opening
from .mouth import shows_mouth, stretched_mouth
from .painter import Painter
from .teeth import painted_mouth
from .tone import tone_of


@dataclass(frozen=True)
class FaceFrames:
    """F aligned crops of S x S pixels between the network and the compositor.

    structure: the geometry of these frames. opening: (F, 1, S, S) in 0..1, the mask between the lips. residual:
    (F, 3, S, S), added to the warped portrait with weight ``mask`` (F, 1, S, S). picture: (F, 3, S, S), blended over
    the warped portrait with weight ``picture_weight`` (F, 1, S, S).
    """

    structure: Structure
    opening: Tensor
    residual: Tensor
    mask: Tensor
    picture: Tensor
    picture_weight: Tensor


Layer = Callable[[FaceFrames], FaceFrames]


def layers_of(
    identity: Identity, basis: FaceBasis, config: PortraitTalkConfig, painter: Painter | None
) -> list[tuple[str, Layer]]:
    """Return names and layers above the network's picture, in the order of application."""
    layers: list[tuple[str, Layer]] = []
    if config.painted_mouth:
        layers.append(("painted mouth", lambda frames: paint_mouth(frames, identity, basis, config.painted_mouth)))
    layers.append(("borrowed parts", show_borrowed))
    tone = tone_of(identity.references[0])
    if tone.share:
        layers.append(("tone of the portrait", lambda frames: apply_tone(frames, tone)))
    if painter is not None:
        layers.append(("look", lambda frames: apply_look(frames, painter)))
    return layers


def network_picture(
    autoencoder: Autoencoder,
    config: PortraitTalkConfig,
    structure: Structure,
    base: Tensor,
    clean: Tensor,
    portrait_aperture: Tensor,
) -> FaceFrames:
    """Decode the first layer: the residual ``decode(clean) - decode(base)``, and the picture ``decode(clean)``.

    The picture is shown where closed lips open, because the warp has only stretched lips there. base, clean: (F, C, h,
    w), latents of the warped portrait and of the network's result. portrait_aperture: () lip aperture of the portrait.
    Only the cells under the mask and a rim around them are decoded, because most of the crop does not change and the
    autoencoder was trained on windows of a crop. An autoencoder with attention decodes the whole crop.
    """
    opening = mouth_opening(structure.landmarks, config.crop_size)
    rows = columns = slice(0, config.latent_size)
    if not config.autoencoder.mid_attention:
        rows, columns = active_cells(structure.mask, config.latent_size)
    decoded, plain = autoencoder.decode(torch.cat((clean, base))[..., rows, columns]).chunk(2)
    factor = config.autoencoder.factor
    tall, wide = (slice(cells.start * factor, cells.stop * factor) for cells in (rows, columns))
    residual, picture = torch.zeros_like(structure.warped), structure.warped.clone()
    residual[..., tall, wide], picture[..., tall, wide] = decoded - plain, decoded
    if config.animate_net.residual:
        residual *= drawn_share(opening * (1 - structure.borrowed))
    weight = stretched_mouth(opening, structure.landmarks, portrait_aperture)
    return FaceFrames(structure, opening, residual, structure.mask, picture, weight)


def paint_mouth(frames: FaceFrames, identity: Identity, basis: FaceBasis, share: float) -> FaceFrames:
    """Paint teeth, tongue and the mouth cavity between the lips, with weight ``share`` over the network's picture.

    The weight is 1 for a portrait that shows the inside of its mouth.
    """
    tongue = Tongue(*frames.structure.tongue.unbind(1))
    painted = painted_mouth(identity, frames.structure.landmarks, basis, tongue)
    weight = share + (1 - share) * shows_mouth(lip_aperture(identity.landmarks))
    return replace(frames, picture=frames.picture.lerp(painted, weight * frames.opening))


def show_borrowed(frames: FaceFrames) -> FaceFrames:
    """Show the borrowed pixels of the warped portrait (other references, or its own teeth), with the residual."""
    structure = frames.structure
    return replace(
        frames,
        picture=frames.picture.lerp(structure.warped + frames.residual, structure.borrowed),
        picture_weight=torch.maximum(frames.picture_weight, structure.borrowed),
    )


def apply_tone(frames: FaceFrames, tone: Callable[[Tensor], Tensor]) -> FaceFrames:
    """Apply the tone of a monochrome portrait to picture and residual."""
    warped = frames.structure.warped
    return replace(frames, picture=tone(frames.picture), residual=tone(warped + frames.residual) - warped)


def apply_look(frames: FaceFrames, painter: Painter) -> FaceFrames:
    """Apply the style's look to picture and residual."""
    residual, mask, picture = painter.difference(
        frames.structure, frames.residual, frames.picture, frames.picture_weight
    )
    return replace(frames, residual=residual, mask=mask, picture=picture)


def active_cells(mask: Tensor, size: int, rim: int = 1) -> tuple[slice, slice]:
    """Return rows and columns, in a grid of ``size`` cells per side, of a non-zero mask (n, 1, S, S) plus a rim."""
    used = adaptive_max_pool2d(mask, size).amax((0, 1)) > 0

    def span(line: Tensor) -> slice:
        indices = line.nonzero().flatten().tolist() or [0]
        return slice(max(indices[0] - rim, 0), min(indices[-1] + 1 + rim, size))

    return span(used.any(1)), span(used.any(0))
