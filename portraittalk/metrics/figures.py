"""The figures measured for a subject, and their formatting as tables and JSON."""

import json
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Figures:
    """The figures of one subject. None: not applicable (no real clip, no metric network, nothing outside the crop).

    Suffix _real: the same figure of the real clip (except lips_real). Suffix _warp: of the warped portrait alone.

    - adfd: agreement of the face with the speech (``metrics.adfd``); adfd_spatial, adfd_temporal: its two factors.
    - adfd_reference: agreement of the face with the real clip's face.
    - lse_c, lse_d: SyncNet's confidence and distance (``metrics.lip_sync``).
    - sync_offset: frames by which the face is late according to SyncNet.
    - lips_asked: correlation of the lip aperture in the video with that of the motion track.
    - lips_real: correlation of the lip aperture with the real clip's, at lag 0.
    - lips_real_best: the same at the best lag; lag: that lag in frames (positive: the video is late).
    - lip_distance: mean distance of the lip landmarks from the real clip's, in eye distances.
    - closure: share of p, b and m in which the lips close.
    - identity: mean distance of dlib's face embeddings from the portrait's; identity_ratio: identity / identity_real.
    - identity_cosine: mean cosine similarity of the same embeddings.
    - mouth: mean absolute error in the mouth region, in 1/255, when driven by the real clip's landmarks.
    - mouth_psnr: PSNR of the same region in dB.
    - mouth_sharpness: Laplacian energy between the lips relative to the real clip's, which tells a haze from teeth
      (``metrics.pixels.sharpness``).
    - ssim: SSIM of the face crop; lpips: LPIPS of the face crop, 0 for identical pictures (``metrics.lpips``).
    - outside_psnr: PSNR outside the head against the portrait, in dB.
    - seam: frame-to-frame jumps at window borders relative to those elsewhere.
    - flicker, drift: of the area around the face, in 1/255 (``metrics.steady``).
    - blinks: blinks per minute.
    - lip_dynamics, head_motion, brow_dynamics, silent_lips, lip_loudness: THEval's figures of motion, which are better
      the nearer they are to the real speaker's (``metrics.naturalness``).
    - speed: compute seconds per second of video.
    """

    subject: str
    adfd: float | None
    adfd_spatial: float | None
    adfd_temporal: float | None
    adfd_real: float | None
    adfd_reference: float | None
    lse_c: float | None
    lse_d: float | None
    sync_offset: int | None
    lse_c_real: float | None
    lse_d_real: float | None
    lips_asked: float | None
    lips_real: float | None
    lips_real_best: float | None
    lag: int | None
    lip_distance: float | None
    closure: float | None
    closure_real: float | None
    identity: float | None
    identity_real: float | None
    identity_ratio: float | None
    identity_cosine: float | None
    identity_cosine_real: float | None
    mouth: float | None
    mouth_warp: float | None
    mouth_psnr: float | None
    mouth_psnr_warp: float | None
    mouth_sharpness: float | None
    mouth_sharpness_warp: float | None
    ssim: float | None
    ssim_warp: float | None
    lpips: float | None
    lpips_warp: float | None
    outside_psnr: float | None
    seam: float | None
    flicker: float | None
    flicker_real: float | None
    drift: float | None
    drift_real: float | None
    blinks: float | None
    blinks_real: float | None
    lip_dynamics: float | None
    lip_dynamics_real: float | None
    head_motion: float | None
    head_motion_real: float | None
    brow_dynamics: float | None
    brow_dynamics_real: float | None
    silent_lips: float | None
    silent_lips_real: float | None
    lip_loudness: float | None
    lip_loudness_real: float | None
    speed: float


def table(rows: list[Figures]) -> str:
    """Return the figures as tab-separated text with a header line."""
    names = [f.name for f in fields(Figures)]
    lines = [[shown(getattr(row, name)) for name in names] for row in rows]
    return "\n".join("\t".join(line) for line in [names, *lines])


def as_json(rows: list[Figures]) -> str:
    """Return the figures as a JSON list with one object per subject."""
    return json.dumps([asdict(row) for row in rows], indent=1)


def shown(value: object) -> str:
    """Return a figure formatted for a table."""
    return f"{value:.3f}" if isinstance(value, float) else "-" if value is None else str(value)
