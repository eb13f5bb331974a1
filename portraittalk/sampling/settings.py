"""Validation and defaults of sampling settings."""

from dataclasses import fields, replace
from typing import Any

from ..checks import check_real, check_type, check_whole
from ..config import PortraitTalkConfig
from ..errors import SettingsError
from ..types import SamplingSettings, Scales
from .steps import LCM_STEPS, TRAINING_STEPS

MAX_SEED = 2**64 - 1
LARGEST_SCALE = 100.0


def check_settings(settings: SamplingSettings, config: PortraitTalkConfig) -> None:
    """Raise SettingsError for the first setting out of its range, or for a model that cannot be run."""
    check_complete(config)
    check_type("The settings", settings, SamplingSettings, "SamplingSettings", SettingsError)
    check_seed(settings.seed)
    check_whole("The number of steps", settings.steps, 1, TRAINING_STEPS)
    check_whole("The window, in frames,", settings.window, 1, config.animate_net.motion_max_seq_length)
    check_whole("The overlap, in frames and below the window,", settings.overlap, 0, settings.window - 1)
    check_whole("The chunk, in frames,", settings.chunk, 1)
    if settings.fast_decode and not config.fast_decoder:
        raise SettingsError(f"The model '{config.name}' has no fast decoder: switch fast decoding off.")
    if config.animate_net.sampler == "lcm" and settings.steps > LCM_STEPS:
        raise SettingsError(f"The model '{config.name}' takes at most {LCM_STEPS} steps, not {settings.steps}.")
    check_real("The strength", settings.strength, 0, 1)
    check_number("guidance scale", settings.guidance_scale)
    check_type("The scales", settings.scales, Scales, "Scales", SettingsError)
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
    check_real("The frame rate, in frames per second,", fps, 1, 120)


def check_seed(seed: int) -> None:
    """Raise SettingsError unless the seed is a whole number in 0..2^64-1."""
    check_whole("The seed", seed, 0, MAX_SEED)


def check_number(name: str, value: float, highest: float = LARGEST_SCALE) -> None:
    """Raise SettingsError unless ``value``, a scale or a strength, is between 0 and ``highest``."""
    check_real(f"The {name}", value, 0, highest)


def check_strengths(
    head_motion: float = 1.0, expression_strength: float = 1.0, liveliness: float = 1.0, blinks_per_minute: float = 0.0
) -> None:
    """Raise SettingsError unless each is in a range within which a face keeps its shape."""
    check_number("head motion", head_motion, 10)
    check_number("expression strength", expression_strength, 10)
    check_number("liveliness", liveliness, 10)
    check_number("number of blinks per minute", blinks_per_minute, 120)
