"""What the file of a run may say, stage by stage: where its data lie, its network, and how it is trained.

A relative path is looked for from where the command is run.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from annotated_types import Gt

from ..compositing.teeth import SHIPPED
from ..config import MINI, FaceDetectorConfig, FaceMeshConfig, PortraitTalkConfig, TextConfig
from .animate.autoencoder import AutoencoderTraining
from .animate.distil import DistilTraining
from .animate.pairs import PairSettings
from .animate.stages import AnimateTraining
from .face.detector import DetectorTraining
from .face.mesh import ExpressionTraining, MeshTraining
from .looks.painter import LookTraining
from .looks.reader import LookReaderTraining
from .motion.adfd import AdfdTraining
from .motion.speech import MotionTrainingConfig
from .text.encoder import TextTraining


@dataclass(frozen=True)
class AutoencoderRun:
    """clips: folder of prepared clips. leave_out: beginnings of the names of clips that are not trained on, but shown
    at checkpoints. start: weights to begin with."""

    clips: Path
    leave_out: tuple[str, ...] = ()
    start: Path | None = None
    network: PortraitTalkConfig = MINI
    training: AutoencoderTraining = field(default_factory=AutoencoderTraining)


@dataclass(frozen=True)
class PairsRun:
    """clips: folder of prepared clips. autoencoder: its weights; its scaling factor stands in ``network.autoencoder``.
    basis: the fitted expression basis. teeth: pictures to paint into mouths. variants: pair files of each clip."""

    clips: Path
    autoencoder: Path
    basis: Path
    teeth: Path = SHIPPED
    variants: Annotated[int, Gt(0)] = 2
    leave_out: tuple[str, ...] = ()
    seed: int = 0
    network: PortraitTalkConfig = MINI
    settings: PairSettings = field(default_factory=PairSettings)


@dataclass(frozen=True)
class AnimateRun:
    """pairs: folder of pair files. embeddings: what ``embed`` wrote, for stage one. start: weights to begin with, for
    stage two those of stage one. decoder: weights of the autoencoder, to compare mouths as they look decoded and to
    show pictures. leave_out: as of the autoencoder."""

    pairs: Path
    embeddings: Path | None = None
    start: Path | None = None
    decoder: Path | None = None
    leave_out: tuple[str, ...] = ()
    network: PortraitTalkConfig = MINI
    training: AnimateTraining = field(default_factory=AnimateTraining)


@dataclass(frozen=True)
class DistilRun:
    """teacher: weights that ``animate`` trained; the rest as of ``animate``."""

    pairs: Path
    teacher: Path
    decoder: Path | None = None
    leave_out: tuple[str, ...] = ()
    network: PortraitTalkConfig = MINI
    training: DistilTraining = field(default_factory=DistilTraining)


@dataclass(frozen=True)
class MotionRun:
    """clips: folder of videos of people speaking. validation: beginnings of the names of those that are not trained
    on. tracks: folder of their track files; phones: of their phone files. synthetic: folder of sound files with
    phone files beside them. wordless: folder of sounds in which nobody speaks or sings, such as what
    ``training.motion.music`` writes; they are also heard behind speech. start: weights to begin with."""

    clips: Path
    tracks: Path
    phones: Path
    basis: Path
    validation: tuple[str, ...] = ()
    synthetic: Path | None = None
    wordless: Path | None = None
    start: Path | None = None
    network: PortraitTalkConfig = MINI
    training: MotionTrainingConfig = field(default_factory=MotionTrainingConfig)


@dataclass(frozen=True)
class DetectorRun:
    """pictures: folder that ``face pictures`` wrote. clips: folder of prepared clips."""

    pictures: Path
    clips: Path
    start: Path | None = None
    leave_out: tuple[str, ...] = ()
    network: FaceDetectorConfig = field(default_factory=FaceDetectorConfig)
    training: DetectorTraining = field(default_factory=DetectorTraining)


@dataclass(frozen=True)
class MeshRun:
    """driven: folder that ``face driven`` wrote; the rest as of the detector. basis: its mean is the average face."""

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
    """clips: folder of prepared clips at 25 frames a second. sounds: folder of the files that they come from, of the
    same names. only: how the names of the clips to train on begin."""

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
    """wordnet: folder of WordNet's data.adj and so on. encoder: weights that ``text encoder`` trained."""

    wordnet: Path
    encoder: Path
    network: TextConfig = field(default_factory=TextConfig)
    training: TextTraining = field(default_factory=TextTraining)


@dataclass(frozen=True)
class ReaderRun:
    """encoder: weights that ``text encoder`` or ``text dictionary`` trained. file: what holds encoder and reader."""

    encoder: Path
    file: Path
    network: TextConfig = field(default_factory=TextConfig)
    training: TextTraining = field(default_factory=TextTraining)


@dataclass(frozen=True)
class LookNetRun:
    """portraits: folder of pictures of about 768 pixels a side, most of which the head fills. leave_out: how the names
    of those begin that are not trained on."""

    portraits: Path
    leave_out: tuple[str, ...] = ()
    training: LookTraining = field(default_factory=LookTraining)


@dataclass(frozen=True)
class LookReaderRun:
    """net: weights that ``look net`` trained. file: what holds both."""

    net: Path
    file: Path
    training: LookReaderTraining = field(default_factory=LookReaderTraining)
