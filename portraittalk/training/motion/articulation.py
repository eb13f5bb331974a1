"""Phones to mouth motion, learnt from videos, to generate motion targets for synthetic speech."""

import logging

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ...models.face_basis import FaceBasis
from ...models.motion_net import BILABIALS, BOTH_SIDES, JAW_OPEN, MOTION_FPS, SPOKEN_NAMES
from ...speech.phones import PHONE_INDEX, PHONES, Phone, phone_labels

log = logging.getLogger(__name__)

# Phones that are missing or rare in a small vocabulary -> the phone of the most similar viseme.
STAND_INS = {"ZH": "JH", "SH": "JH", "CH": "JH", "NG": "G", "ER": "AH", "UH": "UW", "OY": "AO", "M": "B"}
LOOKS_LIKE = torch.tensor([PHONE_INDEX[STAND_INS.get(phone, phone)] for phone in PHONES])
FINE = 4  # phone samples per frame


class Articulator(nn.Module):
    """Network from the share of each phone per frame (B, F, phones) to coefficients (B, F, K).

    Its receptive field of 0.28 s to either side covers coarticulation: lips round before a vowel and open out of a
    closure.
    """

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(len(PHONES), width, kernel_size=7, padding=3),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Conv1d(width, width, kernel_size=7, padding=3),
            nn.GELU(),
            nn.Conv1d(width, len(SPOKEN_NAMES), kernel_size=3, padding=1),
        )

    def forward(self, phone_shares: Tensor) -> Tensor:
        return self.layers(phone_shares.transpose(1, 2)).transpose(1, 2)

    @torch.no_grad()
    def articulate(self, phones: list[Phone], frames: int, basis: FaceBasis) -> Tensor:
        """Return coefficients (frames, K) in 0..1 at 25 fps for phones, with the lips closed on p, b and m."""
        phone_shares = held_phones(phones, frames)
        return close_lips(self.eval()(phone_shares[None])[0].clamp(0, 1), phone_shares, basis)


def close_lips(motion: Tensor, phone_shares: Tensor, basis: FaceBasis) -> Tensor:
    """Raise the jaw of motion (F, K) until the lips meet where p, b or m takes half a frame or more.

    Least squares smooths out the closures of fluent speech: they are too short to affect the error but clearly visible.
    """
    closure = (2 * phone_shares[:, BILABIALS].sum(1)).clamp(max=1)
    opening = (BOTH_SIDES.T @ basis.aperture)[JAW_OPEN]
    closed = motion.clone()
    closed[:, JAW_OPEN] -= closure * basis.asked_aperture(motion @ BOTH_SIDES.T) / opening
    return closed.clamp(min=0)


def held_phones(phones: list[Phone], frames: int) -> Tensor:
    """Return the share of each phone in each frame, (frames, phones), with stand-ins merged."""
    labels = LOOKS_LIKE[phone_labels(phones, frames * FINE, MOTION_FPS * FINE)]
    return F.one_hot(labels, len(PHONES)).float().view(frames, FINE, -1).mean(1)


def train_articulator(
    clips: list[tuple[list[Phone], Tensor]], generator: Generator, steps: int = 1200, batch_size: int = 32
) -> Articulator:
    """Train on clips of (phones, motion (F, K)) from videos, all cut to the shortest."""
    frames = min(len(motion) for _, motion in clips)
    phone_shares = torch.stack([held_phones(phones, frames) for phones, _ in clips])
    motion = torch.stack([motion[:frames] for _, motion in clips])
    spread = motion.flatten(0, 1).std(0) + 0.01
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        net = Articulator()
        optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
        for step in range(steps):
            chosen = torch.randint(len(clips), (batch_size,), generator=generator)
            loss = ((net(phone_shares[chosen]) - motion[chosen]) / spread).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 200 == 0:
                log.info("articulator step %d loss %.3f", step, loss.item())
    return net
