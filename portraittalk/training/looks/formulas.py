"""Looks rendered by formula: the training targets of LookNet.

A renderer takes pictures (B, 3, H, W) in 0..1, zero-mean paper (B, 3, H, W) (grain, pencil strokes, halftone screen:
``paper_tile``) and the scale, in pixels per pixel of an aligned crop, so that stroke width does not depend on
resolution. Each is a smooth function of a pixel's neighbourhood, so small changes of the picture cause no jumps.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Renderer = Callable[[Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class Look:
    """medium: a drawing technique rather than a light. Prompts combine at most one medium with one light."""

    phrases: tuple[str, ...]
    medium: bool


_WRITTEN = json.loads(Path(__file__).with_name("formulas.json").read_text(encoding="utf-8"))
LOOKS = {name: Look(tuple(look["phrases"]), look["medium"]) for name, look in _WRITTEN["looks"].items()}
NO_LOOK = tuple(_WRITTEN["else"])  # phrases that ask for no look but resemble ones that do


def render_look(name: str, picture: Tensor, paper: Tensor, scale: float = 1.0) -> Tensor:
    """Render pictures (B, 3, H, W) in 0..1 in one of ``LOOKS``."""
    return RENDERERS[name](picture, paper, scale).clamp(0, 1)


def paper_tile(size: int, generator: Generator) -> Tensor:
    """Return a seamless tile (3, size, size) of grain, slanted strokes and a dot screen, each of unit variance."""
    noise = torch.randn((2, 1, size, size), generator=generator)
    grain = _wrapped(noise[:1], _gaussian(0.8)[:, None] * _gaussian(0.8))
    along = torch.arange(-8.0, 9.0)
    rows, columns = torch.meshgrid(along, along, indexing="ij")
    stroke = torch.exp(-((rows + columns) ** 2) / (2 * 0.8**2) - (rows - columns) ** 2 / (2 * 8.0**2))
    strokes = _wrapped(noise[1:], stroke)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    dots = torch.cos((rows + columns) * (math.pi / 4)) + torch.cos((rows - columns) * (math.pi / 4))
    tile = torch.cat((grain[0], strokes[0], dots[None]))
    return tile / tile.std((1, 2), keepdim=True)


def blur(x: Tensor, sigma: float) -> Tensor:
    """Apply a Gaussian blur; wide blurs run at half resolution, without a visible difference."""
    if sigma > 4:
        small = F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)
        return F.interpolate(blur(small, sigma / 2), x.shape[-2:], mode="bilinear")
    line = _gaussian(sigma).to(x)
    reach, channels = len(line) // 2, x.shape[1]
    x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    x = F.conv2d(x, line.expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(x, line[:, None].expand(channels, 1, -1, 1), groups=channels)


def luminance(x: Tensor) -> Tensor:
    """Return Rec. 709 luminance: (B, 3, H, W) -> (B, 1, H, W)."""
    return (x * _row(0.2126, 0.7152, 0.0722).to(x)).sum(1, keepdim=True)


def kuwahara(x: Tensor, radius: float, sharpness: float = 8.0) -> Tensor:
    """Apply a Kuwahara filter, which flattens patches but keeps edges: the mean of four neighbouring discs, weighted
    towards the least varying (Kuwahara et al. 1976, with the soft weights of Papari et al. 2007)."""
    reach = max(round(radius), 1)
    mean = blur(x, radius / 2)
    spread = (blur(x * x, radius / 2) - mean * mean).clamp_min(0).sum(1, keepdim=True).sqrt()
    padded = F.pad(torch.cat((mean, spread), 1), (reach, reach, reach, reach), mode="replicate")
    height, width = x.shape[-2:]
    total = weights = x.new_zeros(())
    for dy, dx in ((0, 0), (0, 2 * reach), (2 * reach, 0), (2 * reach, 2 * reach)):
        moved = padded[..., dy : dy + height, dx : dx + width]
        weight = (0.02 + moved[:, 3:]) ** -sharpness
        total, weights = total + weight * moved[:, :3], weights + weight
    return total / weights


def lines(x: Tensor, width: float, strength: float = 12.0, threshold: float = 0.55) -> Tensor:
    """Draw dark lines on white (B, 1, H, W): extended difference of Gaussians (Winnemöller et al. 2012)."""
    light = luminance(x)
    fine, wide = blur(light, width), blur(light, 1.6 * width)
    sharp = fine + strength * (fine - wide)
    return (1 + torch.tanh(6 * (sharp - threshold))).clamp_max(1)


def posterised(light: Tensor, levels: int, softness: float = 0.12) -> Tensor:
    """Posterise with soft steps: values are pulled towards the nearest level."""
    scaled = light * levels
    floor = scaled.floor()
    return (floor + torch.sigmoid((scaled - floor - 0.5) / softness)) / levels


def saturated(x: Tensor, amount: float) -> Tensor:
    light = luminance(x)
    return light + amount * (x - light)


def _curve(light: Tensor, low: float, high: float) -> Tensor:
    t = ((light - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _slope(x: Tensor, sigma: float) -> Tensor:
    """Return the horizontal luminance gradient (B, 1, H, W) over ``sigma`` pixels, positive if it gets lighter
    to the right."""
    light = F.pad(blur(luminance(x), sigma), (1, 1, 0, 0), mode="replicate")
    return (light[..., 2:] - light[..., :-2]) * sigma


def _black_and_white(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    light = luminance(x)
    return (0.5 * light + 0.5 * _curve(light, 0.0, 1.0)).expand_as(x)


def _noir(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    light = luminance(x)
    return (_curve(light - 0.35 * (blur(light, 16 * scale) - 0.5), 0.12, 0.88) + 0.02 * paper[:, :1]).expand_as(x)


def _sepia(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    light = 0.06 + 0.9 * luminance(x)
    return light ** _row(0.75, 1.0, 1.35).to(x) * _row(1.0, 0.9, 0.76).to(x) + 0.012 * paper[:, :1]


def _warm(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    lit = (0.5 + 3 * _slope(x, 6 * scale)).clamp(0, 1)
    warm = x * _row(1.12, 0.9, 0.56).to(x) * (0.85 + 0.3 * lit) + lit * luminance(x) * _row(0.22, 0.09, 0.0).to(x)
    glow = blur(_curve(luminance(x), 0.5, 1.0), 8 * scale) * _row(0.30, 0.15, 0.02).to(x)
    return 1 - (1 - warm.clamp(0, 1)) * (1 - glow)


def _cool(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    return (saturated(x, 0.35).clamp(0, 1) ** 1.2) * _row(0.60, 0.80, 1.08).to(x) + _row(0.0, 0.02, 0.07).to(x)


def _neon(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    light, slope = luminance(x), 5 * _slope(x, 5 * scale)
    base = light**1.2 * _row(0.55, 0.32, 0.85).to(x) + 0.25 * x * light + _row(0.03, 0.0, 0.10).to(x)
    pink = slope.clamp(0, 1) * _row(1.0, 0.05, 0.65).to(x)
    cyan = (-slope).clamp(0, 1) * _row(0.0, 0.75, 1.0).to(x)
    return base + (0.25 + light) * (pink + cyan)


def _faded(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    soft = 0.15 + 0.74 * saturated(x, 0.55)
    dark = 1 - luminance(x)
    tint = dark * _row(-0.02, 0.03, 0.03).to(x) + (1 - dark) * _row(0.05, 0.02, -0.07).to(x)
    return soft + tint + 0.018 * paper[:, :1]


def _glow(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    soft = blur(x, 6 * scale)
    return 0.25 * x + 0.75 * (1 - (1 - 0.5 * x - 0.5 * soft) * (1 - 0.45 * soft)) + _row(0.03, 0.0, 0.02).to(x)


def _vivid(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    crisp = x + 0.7 * (x - blur(x, 6 * scale))
    return saturated(0.5 * crisp + 0.5 * _curve(crisp, 0.0, 1.0), 1.8)


def _oil(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    flat = saturated(0.8 * kuwahara(x, 2.6 * scale) + 0.2 * x, 1.35)
    light = F.pad(blur(luminance(flat), scale), (1, 1, 1, 1), mode="replicate")
    relief = (light[..., 2:, 2:] - light[..., :-2, :-2]) * scale
    return flat + 0.5 * relief + (0.035 * paper[:, 1:2] + 0.015 * paper[:, :1]) * (0.4 + luminance(flat))


def _watercolour(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    flat = 0.75 * kuwahara(x, 3 * scale) + 0.25 * x
    pigment = (1 - saturated(flat, 1.25)).clamp(0, 1)
    rim = (blur(flat, 3 * scale) - blur(flat, scale)).mean(1, keepdim=True).clamp(0, 0.2)  # pigment gathers at edges
    pool = 1 + 0.10 * blur(paper[:, :1], 2 * scale) + 0.05 * paper[:, :1] + 3 * rim
    return 1 - 0.82 * pigment**1.15 * pool


def _pencil(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    light = luminance(x)
    dodged = (light / blur(light, 4 * scale).clamp_min(0.05)).clamp_max(1) ** 2.2
    dark = (1 - blur(light, 1.5 * scale)).clamp(0, 1)
    shade = 0.62 * dark**1.4 * (0.75 + 0.42 * paper[:, 1:2]).clamp(0, 1.6)
    return (dodged * (1 - shade) * 0.97 + 0.012 * paper[:, :1]).expand_as(x)


def _charcoal(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    light = luminance(kuwahara(x, 2 * scale))
    edges = lines(x, 1.2 * scale, 10.0, 0.25)
    tone = _curve(light, 0.12, 0.72)
    rough = (1 - tone) * (1 - 0.30 * (paper[:, :1] + 0.6 * paper[:, 1:2]).clamp(-1, 2.5))
    return ((1 - rough.clamp(0, 1)) * (0.35 + 0.65 * edges) * 0.90 + 0.05).expand_as(x)


def _ink(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    return lines(x, 1.1 * scale, 16.0, 0.42).expand_as(x)


def _anime(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    flat = kuwahara(kuwahara(x, 3 * scale), 3 * scale)
    light = luminance(flat)
    stepped = blur(posterised(light**0.8, 4), 0.6 * scale)
    coloured = saturated(flat / light.clamp_min(0.05) * stepped, 1.45)
    return (0.06 + 0.98 * coloured).clamp(0, 1) * (0.12 + 0.88 * lines(x, 1.2 * scale, 14.0, 0.28))


def _comic(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    flat = kuwahara(x, 3 * scale)
    light = luminance(flat)
    screen = torch.sigmoid((light - 0.47 - 0.12 * paper[:, 2:]) * 18)
    shade = 0.55 + 0.45 * screen
    stepped = posterised(light**0.75, 3)
    return (
        saturated(flat / light.clamp_min(0.05) * stepped, 1.7).clamp(0, 1) * shade * lines(x, 1.3 * scale, 16.0, 0.33)
    )


def _pastel(x: Tensor, paper: Tensor, scale: float) -> Tensor:
    flat = saturated(0.7 * kuwahara(x, 2 * scale) + 0.3 * x, 1.15)
    chalk = 0.30 + 0.68 * flat
    return chalk + (0.07 * paper[:, 1:2] + 0.06 * paper[:, :1]) * (1.15 - luminance(flat))


RENDERERS: dict[str, Renderer] = {
    "black and white photograph": _black_and_white,
    "film noir": _noir,
    "sepia photograph": _sepia,
    "warm sunset light": _warm,
    "cool moonlight": _cool,
    "neon light": _neon,
    "faded film": _faded,
    "soft glow": _glow,
    "vivid colours": _vivid,
    "oil painting": _oil,
    "watercolour": _watercolour,
    "pencil sketch": _pencil,
    "charcoal drawing": _charcoal,
    "ink drawing": _ink,
    "anime": _anime,
    "comic": _comic,
    "pastel drawing": _pastel,
}


def _gaussian(sigma: float) -> Tensor:
    reach = max(math.ceil(3 * sigma), 1)
    line = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    return line / line.sum()


def _wrapped(noise: Tensor, kernel: Tensor) -> Tensor:
    reach = kernel.shape[-1] // 2
    return F.conv2d(F.pad(noise, (reach,) * 4, mode="circular"), kernel[None, None])


def _row(*values: float) -> Tensor:
    return torch.tensor(values)[None, :, None, None]
