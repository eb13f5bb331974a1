"""Prompts as Stable Diffusion reads them: word pieces of CLIP's vocabulary, and what its text encoder makes of them.

The vocabulary does not ship with the package: it is looked for in a folder of the user's. Without a prompt there is
nothing to look up.
"""

import logging
from pathlib import Path

import torch
from torch import Tensor

from ..config import ClipConfig
from ..errors import WeightsError
from ..models.clip_net import TextEncoder

FILES = ("vocab.json", "merges.txt")

logger = logging.getLogger(__name__)


@torch.no_grad()
def encode_prompt(encoder: TextEncoder, prompt: str, config: ClipConfig, vocabulary: Path) -> Tensor:
    """Text tokens (L, D) of a prompt. vocabulary: the tokenizer's folder. Raises WeightsError where it is not there."""
    pieces = word_pieces(prompt, config, vocabulary)
    device = next(encoder.parameters()).device  # the other networks may be elsewhere
    return encoder(pieces[None].to(device))[0].float()


def word_pieces(prompt: str, config: ClipConfig, folder: Path) -> Tensor:
    """(L,) numbers of word pieces between a sign for the beginning and signs for the end; what is too long is cut."""
    begin, end = config.words - 2, config.words - 1
    found = _looked_up(prompt, folder) if prompt.strip() else []
    room = config.longest - 2
    if len(found) > room:
        logger.warning(
            "The prompt is longer than Stable Diffusion reads: its last %d pieces are left out.", len(found) - room
        )
        found = found[:room]
    return torch.tensor([begin, *found, *[end] * (config.longest - 1 - len(found))])


def _looked_up(prompt: str, folder: Path) -> list[int]:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"Prompts need CLIP's vocabulary: put {' and '.join(FILES)} of openai/clip-vit-large-patch14 (on Hugging "
            f"Face) into the folder {folder}."
        )
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    return list(tokenizer(prompt, add_special_tokens=False).input_ids)
