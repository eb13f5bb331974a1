"""Schemas of the run files, one per training stage: data paths, network and training settings.

Relative paths are resolved against the working directory.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from annotated_types import Gt

from ..compositing.teeth import SHIPPED
from ..config import (
    MINI,
    SMALL,
    AutoencoderConfig,
    DifferenceDecoderConfig,
    FaceDetectorConfig,
    FaceMeshConfig,
    PortraitTalkConfig,
    TextConfig,
)
from ..models.face_basis import SHIPPED as SHIPPED_BASIS
from .animate.autoencoder import AutoencoderTraining
from .animate.difference import DifferenceTraining
from .animate.distil import DistilTraining
from .animate.pairs import PairSettings
from .animate.stages import AnimateTraining
from .animate.window_autoencoder import WindowAutoencoderTraining
from .animate.windows import WindowAnimateTraining
from .face.detector import DetectorTraining
from .face.mesh import ExpressionTraining, MeshTraining
from .looks.painter import LookTraining
from .looks.prompt_reader import LookReaderTraining
from .motion.adfd import AdfdTraining
from .motion.speech import MotionTrainingConfig
from .text.encoder import TextTraining


@dataclass(frozen=True)
class AutoencoderRun:
    """clips: folder of prepared clips. leave_out: name prefixes of held-out clips, which are shown at checkpoints.
    start: initial weights."""

    clips: Path
    leave_out: tuple[str, ...] = ()
    start: Path | None = None
    network: PortraitTalkConfig = SMALL
    training: AutoencoderTraining = field(default_factory=AutoencoderTraining)


@dataclass(frozen=True)
class PairsRun:
    """clips: folder of prepared clips. autoencoder: its weights; the scaling factor is in ``network.autoencoder``.
    basis: the fitted expression basis. teeth: pictures to paint into mouths. variants: pair files per clip."""

    clips: Path
    autoencoder: Path
    basis: Path
    teeth: Path = SHIPPED
    variants: Annotated[int, Gt(0)] = 2
    leave_out: tuple[str, ...] = ()
    seed: int = 0
    network: PortraitTalkConfig = SMALL
    settings: PairSettings = field(default_factory=PairSettings)


@dataclass(frozen=True)
class AnimateRun:
    """pairs: folder of pair files. embeddings: output of ``embed``, for stage one. start: initial weights; for stage
    two those of stage one. decoder: autoencoder weights, for the loss on decoded mouths and validation pictures.
    leave_out: as in AutoencoderRun."""

    pairs: Path
    embeddings: Path | None = None
    start: Path | None = None
    decoder: Path | None = None
    leave_out: tuple[str, ...] = ()
    network: PortraitTalkConfig = SMALL
    training: AnimateTraining = field(default_factory=AnimateTraining)


@dataclass(frozen=True)
class DistilRun:
    """teacher: weights trained by ``animate``. The other fields are as in AnimateRun."""

    pairs: Path
    teacher: Path
    decoder: Path | None = None
    leave_out: tuple[str, ...] = ()
    network: PortraitTalkConfig = SMALL
    training: DistilTraining = field(default_factory=DistilTraining)


@dataclass(frozen=True)
class WindowAutoencoderRun:
    """mouths: folder of mouth clips. The other fields are as in AutoencoderRun."""

    mouths: Path
    leave_out: tuple[str, ...] = ()
    start: Path | None = None
    network: AutoencoderConfig = MINI.autoencoder
    training: WindowAutoencoderTraining = field(default_factory=WindowAutoencoderTraining)


@dataclass(frozen=True)
class WindowAnimateRun:
    """pairs: folder of window pairs. autoencoder: weights of ``window autoencoder``; the scaling factor is in
    ``network.autoencoder``. The other fields are as in AnimateRun."""

    pairs: Path
    autoencoder: Path
    leave_out: tuple[str, ...] = ()
    start: Path | None = None
    network: PortraitTalkConfig = MINI
    training: WindowAnimateTraining = field(default_factory=WindowAnimateTraining)


@dataclass(frozen=True)
class DifferenceRun:
    """differences: output folder of ``window differences``. autoencoder_network: whose latents these are. start:
    initial weights. leave_out: as in AutoencoderRun."""

    differences: Path
    leave_out: tuple[str, ...] = ()
    start: Path | None = None
    network: DifferenceDecoderConfig = field(default_factory=DifferenceDecoderConfig)
    autoencoder_network: AutoencoderConfig = MINI.autoencoder
    training: DifferenceTraining = field(default_factory=DifferenceTraining)


@dataclass(frozen=True)
class MotionRun:
    """clips: folder of talking-head videos. tracks: folder of their track files. mocap: folder of motion capture, each
    with its sound beside it (``training.data.mocap``). validation: name prefixes of held-out videos and captures.
    phones: folder of the phone files of both, as far as they are known. synthetic: folder of sound files with phone
    files beside them. wordless: folder of sounds without speech or singing, such as the output of
    ``training.motion.music``; also mixed in behind speech. start: initial weights, of another run or of a whole model.
    """

    clips: Path | None = None
    tracks: Path | None = None
    mocap: Path | None = None
    phones: Path | None = None
    basis: Path = SHIPPED_BASIS
    validation: tuple[str, ...] = ()
    synthetic: Path | None = None
    wordless: Path | None = None
    start: Path | None = None
    network: PortraitTalkConfig = MINI
    training: MotionTrainingConfig = field(default_factory=MotionTrainingConfig)


@dataclass(frozen=True)
class DetectorRun:
    """pictures: output folder of ``face pictures``. clips: folder of prepared clips."""

    pictures: Path
    clips: Path
    start: Path | None = None
    leave_out: tuple[str, ...] = ()
    network: FaceDetectorConfig = field(default_factory=FaceDetectorConfig)
    training: DetectorTraining = field(default_factory=DetectorTraining)


@dataclass(frozen=True)
class MeshRun:
    """driven: output folder of ``face driven``. basis: its mean is the average face. The rest is as in DetectorRun."""

    pictures: Path
    clips: Path
    basis: Path
    driven: Path | None = None
    start: Path | None = None
    leave_out: tuple[str, ...] = ()
    network: FaceMeshConfig = field(default_factory=FaceMeshConfig)
    training: MeshTraining = field(default_factory=MeshTraining)


@dataclass(frozen=True)
class ExpressionRun:
    """clips: folder of prepared clips. basis: its mean is the average face."""

    clips: Path
    basis: Path
    leave_out: tuple[str, ...] = ()
    network: FaceMeshConfig = field(default_factory=FaceMeshConfig)
    training: ExpressionTraining = field(default_factory=ExpressionTraining)


@dataclass(frozen=True)
class AdfdRun:
    """clips: folder of prepared clips at 25 fps. sounds: folder of their source files, with the same names. only: name
    prefix of the clips to train on."""

    clips: Path
    sounds: Path
    only: str = ""
    leave_out: tuple[str, ...] = ()
    training: AdfdTraining = field(default_factory=AdfdTraining)


@dataclass(frozen=True)
class EncoderRun:
    network: TextConfig = field(default_factory=TextConfig)
    training: TextTraining = field(default_factory=TextTraining)


@dataclass(frozen=True)
class DictionaryRun:
    """wordnet: folder of WordNet's data files (data.adj, ...). encoder: weights trained by ``text encoder``."""

    wordnet: Path
    encoder: Path
    network: TextConfig = field(default_factory=TextConfig)
    training: TextTraining = field(default_factory=TextTraining)


@dataclass(frozen=True)
class ReaderRun:
    """encoder: weights trained by ``text encoder`` or ``text dictionary``. file: output file of encoder and reader."""

    encoder: Path
    file: Path
    network: TextConfig = field(default_factory=TextConfig)
    training: TextTraining = field(default_factory=TextTraining)


@dataclass(frozen=True)
class LookNetRun:
    """portraits: folder of pictures of about 768 pixels a side, mostly filled by the head. leave_out: name prefixes of
    held-out portraits."""

    portraits: Path
    leave_out: tuple[str, ...] = ()
    training: LookTraining = field(default_factory=LookTraining)


@dataclass(frozen=True)
class LookReaderRun:
    """net: weights trained by ``look net``. file: output file of both networks."""

    net: Path
    file: Path
    training: LookReaderTraining = field(default_factory=LookReaderTraining)
