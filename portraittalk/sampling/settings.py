"""Validation and defaults of sampling settings."""

import math
from dataclasses import fields, replace
from typing import Any

from ..config import PortraitTalkConfig
from ..errors import SettingsError
from ..types import SamplingSettings
from .steps import LCM_STEPS, TRAINING_STEPS

MAX_SEED = 2**64 - 1


def check_settings(settings: SamplingSettings, config: PortraitTalkConfig) -> None:
    """Raise SettingsError for the first setting out of its range, or for a model that cannot be run."""
    check_complete(config)
    longest = config.animate_net.motion_max_seq_length
    if not 0 <= settings.seed <= MAX_SEED:
        raise SettingsError(f"The seed must be between 0 and {MAX_SEED}, not {settings.seed}.")
    if not 1 <= settings.steps <= TRAINING_STEPS:
        raise SettingsError(f"The number of steps must be between 1 and {TRAINING_STEPS}, not {settings.steps}.")
    if not 1 <= settings.window <= longest:
        raise SettingsError(f"The window must be between 1 and {longest} frames for this model, not {settings.window}.")
    if not 0 <= settings.overlap < settings.window:
        raise SettingsError(
            f"The overlap must be at least 0 and below the window of {settings.window} frames, not {settings.overlap}."
        )
    if settings.chunk < 1:
        raise SettingsError(f"The chunk must be at least 1 frame, not {settings.chunk}.")
    if settings.fast_decode and not config.fast_decoder:
        raise SettingsError(f"The model '{config.name}' has no fast decoder: switch fast decoding off.")
    if config.animate_net.sampler == "lcm" and settings.steps > LCM_STEPS:
        raise SettingsError(f"The model '{config.name}' takes at most {LCM_STEPS} steps, not {settings.steps}.")
    if not 0 <= settings.strength <= 1:
        raise SettingsError(f"The strength must be between 0 and 1, not {settings.strength}.")
    check_number("guidance scale", settings.guidance_scale)
    for branch in fields(settings.scales):
        check_number(f"{branch.name} scale", getattr(settings.scales, branch.name))


def usual_settings(config: PortraitTalkConfig) -> SamplingSettings:
    """Return the recommended settings of a model."""
    return SamplingSettings(
        steps=config.steps,
        guidance_scale=config.guidance_scale,
        window=config.window,
        overlap=config.overlap,
        strength=config.strength,
    )


def chosen_settings(config: PortraitTalkConfig, **chosen: Any) -> SamplingSettings:
    """Return the recommended settings with the user's choices; what is None stays as recommended.

    Raises SettingsError as ``check_settings`` does.
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    settings = replace(usual_settings(config), **given)
    check_settings(settings, config)
    return settings


def check_complete(config: PortraitTalkConfig) -> None:
    """Raise SettingsError for a model that cannot be run because a network it needs is not implemented."""
    if config.face_embedding:
        raise SettingsError(
            f"The model '{config.name}' can be converted but not run: it needs ArcFace, whose weights are for research "
            "only, and wav2vec 2.0, and this version has neither; choose another model."
        )


def check_fps(fps: float) -> None:
    """Raise SettingsError unless fps is in 1..120."""
    if not 1 <= fps <= 120:
        raise SettingsError(f"The frame rate must be between 1 and 120 fps, not {fps:g}.")


def check_number(name: str, value: float, highest: float = math.inf) -> None:
    """Raise SettingsError unless ``value`` is a finite number from 0 to ``highest``."""
    if not (math.isfinite(value) and 0 <= value <= highest):
        allowed = "a finite number of at least 0" if highest == math.inf else f"between 0 and {highest:g}"
        raise SettingsError(f"The {name} must be {allowed}, not {value:g}.")


def check_motion(head_motion: float, expression_strength: float, liveliness: float, blinks_per_minute: float) -> None:
    """Raise SettingsError unless each is in a range within which a face keeps its shape."""
    check_number("head motion", head_motion, 10)
    check_number("expression strength", expression_strength, 10)
    check_number("liveliness", liveliness, 10)
    check_number("number of blinks per minute", blinks_per_minute, 120)
