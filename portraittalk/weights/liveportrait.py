"""Layout of LivePortrait's published files (huggingface.co/KwaiVGI/LivePortrait, base models, MIT)."""

from ..config import MINI, LivePortraitConfig, PortraitTalkConfig
from .layout import Layout, Rule, Source
from .sd15 import FACE_MOTION

CONFIG: PortraitTalkConfig = PortraitTalkConfig(
    name="liveportrait",
    crop_size=512,
    painted_mouth=0.0,
    liveportrait=LivePortraitConfig(),
    speech=MINI.speech,
    motion_net=MINI.motion_net,
)

# Repacked files join the name of a small network and DataParallel's "module" by an underscore, or leave it out.
JOINED: tuple[Rule, ...] = ((r"\.module\.", "_module."),)
PLAIN: tuple[Rule, ...] = ((r"\.module\.", "."),)


def _small(ours: str, theirs: str) -> Source:
    """Return the source of one of the small networks, which are published in one file with something that is unused."""
    return Source(
        f"retargeting.{ours}.",
        ("stitching_retargeting_module",),
        f"{theirs}.module.",
        others=(JOINED, PLAIN),
        ignored=r"(?!retarget_(shoulder|mouth|eye)(_module)?\.)",
    )


LIVEPORTRAIT = Layout(
    CONFIG,
    (
        Source("appearance.", ("appearance_feature_extractor",), rules=((r"resblocks_3d\.", "resblocks_3d.3dr"),)),
        Source("motion_extractor.", ("motion_extractor",), "detector.", others=(((r"^detector\.", ""),),)),
        Source("warping.", ("warping_module",)),
        Source("generator.", ("spade_generator",)),
        _small("stitching", "retarget_shoulder"),
        _small("lips", "retarget_mouth"),
        _small("eyes", "retarget_eye"),
        *FACE_MOTION,
    ),
)
