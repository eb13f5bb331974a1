"""Pipeline of LivePortrait's renderer (Guo et al. 2024, arXiv 2407.03168), driven by motion tracks.

It draws the whole head from a volume of the portrait's features and from implicit keypoints that say how the face
moves. There are no steps, no noise and no seed: each frame depends on its own motion alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..arkit import ARKIT_NAMES
from ..compositing.expressions import with_expressions
from ..compositing.face_paste import FacePaste
from ..face.align import extract_crop
from ..face.expression_crop import expression_crop, lip_ratio
from ..face.mesh import MeshProvider
from ..memory.estimate import MeasureStages
from ..memory.stage_peaks import PROBED, keypoint_stages
from ..models.face_basis import FaceBasis
from ..models.liveportrait.appearance import AppearanceExtractor
from ..models.liveportrait.generator import SpadeGenerator
from ..models.liveportrait.keypoints import FaceMotion
from ..models.liveportrait.motion import MotionExtractor
from ..models.liveportrait.retargeting import Retargeting
from ..models.liveportrait.warping import WarpingModule
from ..models.motion_net import MotionNet
from ..motion.keypoint_axes import depth_sign, turned_probes
from ..motion.keypoint_drive import PARTED, KeypointDriver, KeypointFace, closing_gain, mapped_change
from ..motion.keypoint_map import best_map, probes
from ..motion.track import MotionTrack
from ..progress import ProgressCallback, ignore_progress
from ..types import Crop, Identity, SamplingSettings, Speech, Style
from .base import FROM_THE_START, Checkpoint, Output
from .finite import check_finite
from .painting import PaintingPipeline
from .streaming import Counter


@dataclass(frozen=True)
class KeypointPipeline(PaintingPipeline):
    """The pipeline of models that draw from implicit keypoints.

    appearance: crop to volume. motion_extractor: crop to keypoints, pose and expression. warping: volume and keypoints
    to the features of a frame. generator: these to its picture. retargeting: eyes, lips and stitching. motion_net:
    speech to motion. basis: motion to landmarks.

    An identity's ``reference`` holds the volume, the fields of ``FaceMotion``, and of ``KeypointFace`` the portrait's
    ``offsets``, ``depth`` and ``closing``.
    """

    appearance: AppearanceExtractor
    motion_extractor: MotionExtractor
    warping: WarpingModule
    generator: SpadeGenerator
    retargeting: Retargeting
    motion_net: MotionNet
    basis: FaceBasis

    stage_peaks: ClassVar[MeasureStages | None] = staticmethod(keypoint_stages)

    @property
    def drawing_net(self) -> nn.Module:
        return self.generator

    @property
    def encoding_net(self) -> nn.Module:
        return self.appearance

    def _crop(self, landmarks: Tensor, image_size: tuple[int, int]) -> Crop:
        return expression_crop(landmarks, image_size, self.config.crop_size)

    def _encode_person(self, identity: Identity, references: Tensor) -> Identity:
        """Add the volume, the keypoints and the map of the portrait; further references are not used."""
        small = self._reduced(identity.references[:1])
        motion = self.motion_extractor(small)
        landmarks = identity.landmarks.to(small) * (small.shape[-1] / self.config.crop_size)
        reference = {
            "volume": self.appearance(small.to(self.dtype)),
            "offsets": self._map_of(small[0], landmarks, identity.blendshapes.to(small)),
            "depth": self._depth(small[0], landmarks, identity.blendshapes.to(small)),
            "closing": small.new_ones(1),
            **{field.name: getattr(motion, field.name) for field in fields(motion)},
        }
        closing = self._closing(replace(identity, reference=reference))
        return replace(identity, reference=reference | {"closing": closing})

    def _reduced(self, crops: Tensor) -> Tensor:
        """Return crops (N, 3, S, S) at the size that the extractors take, in single precision."""
        assert self.config.liveportrait is not None
        side = self.config.liveportrait.input_size
        return interpolate(crops.float(), (side, side), mode="area")

    def _map_of(self, picture: Tensor, landmarks: Tensor, blendshapes: Tensor) -> Tensor:
        """Return the offsets (52, K, 3) of the expression for each coefficient, see ``motion.keypoint_map``.

        picture: (3, n, n), the reduced crop. landmarks: (478, 3) in its pixels.
        """
        track = probes().to(picture.device)
        shown = with_expressions(picture, landmarks, blendshapes, track, self.basis, PROBED)
        read = torch.cat([self.motion_extractor(pictures).expression for pictures in shown])
        return best_map(mapped_change(track, blendshapes), read)

    def _depth(self, picture: Tensor, landmarks: Tensor, blendshapes: Tensor) -> Tensor:
        """Return which way the depth of keypoints points, see ``motion.keypoint_axes``; arguments as of ``_map_of``."""
        track = turned_probes().to(picture.device)
        shown = with_expressions(picture, landmarks, blendshapes, track, self.basis, PROBED, turn=True)
        return depth_sign(torch.cat([self.motion_extractor(pictures).rotation for pictures in shown]), track.rotation)

    def _closing(self, identity: Identity) -> Tensor:
        """Return how much more than the lips' network says it takes to close the portrait's open mouth: (1,).

        One frame with lips that are to meet is drawn, and what they leave open is measured on its landmarks.
        """
        identity = identity.to(self.device)
        own = lip_ratio(identity.landmarks)[None]
        closing = identity.reference["closing"]
        if own < PARTED:
            return closing
        self.place("denoise")
        driver = KeypointDriver(keypoint_face(identity), self.basis, self.retargeting)
        shut = MotionTrack.of_expression(own.new_zeros(1, len(ARKIT_NAMES)), 25.0)
        volume = identity.reference["volume"]
        drawn = self.generator(self.warping(volume, driver.source, driver(shut))).float()
        found = MeshProvider()(drawn[0].cpu())
        return closing_gain(own, lip_ratio(found[0].landmarks).to(own)) if found else closing

    def animate(
        self,
        identity: Identity,
        speech: Speech,
        style: Style | None = None,
        motion: MotionTrack | None = None,
        settings: SamplingSettings | None = None,
        output: Output = "full",
        progress: ProgressCallback = ignore_progress,
        checkpoint: Checkpoint = FROM_THE_START,
    ) -> Iterator[Tensor]:
        """See ``PipelineBase.animate``. Of the settings, only the chunk and the text scale have an effect."""
        style = style or Style()
        settings = self.checked(identity, settings)
        track, _ = self.motion_for(speech, style, motion, settings.scales.text)
        self.place("denoise")
        identity, track = identity.to(self.device), track[: len(speech)].to(self.device)
        return self._frames(identity, track, style, settings, output, progress, checkpoint)

    @torch.no_grad()
    def _frames(
        self,
        identity: Identity,
        track: MotionTrack,
        style: Style,
        settings: SamplingSettings,
        output: Output,
        progress: ProgressCallback,
        checkpoint: Checkpoint,
    ) -> Iterator[Tensor]:
        """Yield the frames of a track, ``settings.chunk`` at a time."""
        starts = range(0, len(track), settings.chunk)
        tick = Counter(progress, len(starts))
        tick.skip(checkpoint.start / len(track))
        tick.again()
        if not checkpoint.start:
            checkpoint.save(0, torch.zeros(1))  # no frame needs another, so a run can be taken up after any of them
        painter = self._painter(identity, style, settings.scales.text)
        portrait, volume = identity.portrait, identity.reference["volume"].to(self.dtype)
        if painter is not None:
            portrait = painter.portrait
            volume = self.appearance(self._reduced(extract_crop(portrait, identity.crop)[None]).to(self.dtype))
        paste = FacePaste(portrait, identity.crop, identity.landmarks, tick.again, identity.others)
        driver = KeypointDriver(keypoint_face(identity), self.basis, self.retargeting)
        compressed = self.warping.compressed(volume)
        for start in starts[checkpoint.start // settings.chunk :]:
            points = driver(track[start : start + settings.chunk])
            drawn = self.generator(self.warping(volume, driver.source, points, compressed)).float()
            crops = check_finite(drawn, self.config)
            chunk = (paste(crops) if output == "full" else paste.crops(crops)).cpu()
            tick(chunk[-1])
            yield chunk
            if start != starts[-1]:
                checkpoint.save(start + settings.chunk, None)


def keypoint_face(identity: Identity) -> KeypointFace:
    """Return what drives an identity's portrait."""
    motion = FaceMotion(**{field.name: identity.reference[field.name] for field in fields(FaceMotion)})
    return KeypointFace(
        motion=motion,
        offsets=identity.reference["offsets"],
        landmarks=identity.landmarks,
        blendshapes=identity.blendshapes,
        size=identity.crop.size,
        closing=identity.reference["closing"],
        depth=identity.reference["depth"],
    )
