"""What is measured of a subject, and how a table shows it."""

import json
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Figures:
    """One row of the table; None where it does not apply: no real clip, no network to judge by, nothing outside.

    adfd: how well the face follows the speech (``metrics.adfd``), adfd_spatial and adfd_temporal its parts; adfd_real:
    that of the real clip; adfd_reference: how well the face follows the real clip's.
    lse_c, lse_d: SyncNet's confidence and distance (``metrics.lip_sync``), sync_offset: frames by which it finds the
    face late; lse_c_real, lse_d_real: of the real clip.
    lips_asked: correlation of the lip aperture found in the video with the one that the motion track asks for.
    lips_real: with the real clip's, as it is; lips_real_best: at ``lag`` frames (positive: the video is late).
    lip_distance: of the lips' landmarks to the real clip's, in eye distances. closure, closure_real: the share of p, b
    and m on which the lips close.
    identity: mean distance of dlib's embeddings to the portrait's; identity_real: that of the real clip's own frames;
    identity_ratio: of the two; identity_cosine, identity_cosine_real: mean cosines of the same embeddings.
    mouth, mouth_warp: mean absolute error of the model and of the warp alone in the mouth region, in 1/255, with the
    real clip's landmarks given, and mouth_psnr, mouth_psnr_warp in dB; ssim, ssim_warp: of the whole crop; lpips,
    lpips_warp: likewise, 0 where they look alike (``metrics.lpips``).
    outside_psnr: of all that lies outside of the face crop, against the portrait, in dB. seam: how much more frames
    jump at window borders. flicker, drift: of what lies around the face, in 1/255 (``metrics.steady``), and the real
    clip's. blinks: a minute. speed: compute seconds per second of video.
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
    speed: float


def table(rows: list[Figures]) -> str:
    """The figures as tab-separated text with a line of names."""
    names = [f.name for f in fields(Figures)]
    lines = [[shown(getattr(row, name)) for name in names] for row in rows]
    return "\n".join("\t".join(line) for line in [names, *lines])


def as_json(rows: list[Figures]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1)


def shown(value: object) -> str:
    """A figure as a table shows it."""
    return f"{value:.3f}" if isinstance(value, float) else "-" if value is None else str(value)
