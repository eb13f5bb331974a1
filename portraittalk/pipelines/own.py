"""What the pipelines of our own networks share: those that draw a mouth window, and those that draw the whole crop."""

from dataclasses import dataclass
from typing import ClassVar

from ..models.face_basis import FaceBasis
from ..models.identity_net import IdentityNet
from ..models.motion_net import MotionNet
from .diffusion import DiffusionPipeline
from .painting import PaintingPipeline


@dataclass(frozen=True)
class OwnPipeline(PaintingPipeline, DiffusionPipeline):
    """A pipeline with networks that this project trains.

    identity_net: pictures of the references to identity tokens. motion_net: speech to motion. basis: motion to
    landmarks.
    """

    identity_net: IdentityNet
    motion_net: MotionNet
    basis: FaceBasis

    follows_structure: ClassVar[bool] = True
    fixed_precision: ClassVar[bool] = True
    turns_head: ClassVar[bool] = True
