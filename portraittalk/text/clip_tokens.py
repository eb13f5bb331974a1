"""Prompt encoding for Stable Diffusion: CLIP tokenisation and text encoding.

CLIP's vocabulary does not ship with the package: it is read from a folder of the user, and only if there is a prompt.
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
    """Return the text embeddings (L, D) of a prompt. vocabulary: the tokenizer's folder.

    Raises WeightsError if the vocabulary is missing.
    """
    token_ids = word_pieces(prompt, config, vocabulary)
    device = next(encoder.parameters()).device  # the other networks may be on another device
    return encoder(token_ids[None].to(device))[0].float()


def word_pieces(prompt: str, config: ClipConfig, folder: Path) -> Tensor:
    """Return token ids (L,) with the start token and padded with end tokens; long prompts are truncated."""
    begin, end = config.words - 2, config.words - 1
    token_ids = _tokenize(prompt, folder) if prompt.strip() else []
    limit = config.longest - 2
    if len(token_ids) > limit:
        logger.warning("The prompt exceeds CLIP's limit: its last %d tokens are ignored.", len(token_ids) - limit)
        token_ids = token_ids[:limit]
    return torch.tensor([begin, *token_ids, *[end] * (config.longest - 1 - len(token_ids))])


def _tokenize(prompt: str, folder: Path) -> list[int]:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"Prompts need CLIP's vocabulary: put {' and '.join(FILES)} of openai/clip-vit-large-patch14 (on Hugging "
            f"Face) into the folder {folder}."
        )
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    return list(tokenizer(prompt, add_special_tokens=False).input_ids)
