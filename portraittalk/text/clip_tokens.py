"""Prompt encoding for Stable Diffusion: CLIP tokenisation and text encoding.

CLIP's vocabulary does not ship with the package: it is read from a folder of the user, and only if there is a prompt.
"""

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import ClipConfig
from ..errors import WeightsError
from ..models.clip_net import TextEncoder
from .emphasis import weighted_spans

FILES = ("vocab.json", "merges.txt")

logger = logging.getLogger(__name__)


@torch.no_grad()
def encode_prompt(encoder: TextEncoder, prompt: str, config: ClipConfig, vocabulary: Path) -> Tensor:
    """Return the text embeddings (L, D) of a prompt. vocabulary: the tokenizer's folder.

    A weight moves the embedding of a token away from that of the empty prompt at its place, as in ComfyUI. Raises
    WeightsError if the vocabulary is missing, SettingsError for weights that cannot be read.
    """
    token_ids, weights = word_pieces(prompt, config, vocabulary)
    empty, _ = word_pieces("", config, vocabulary)
    weighted = bool((weights != 1).any())
    device = next(encoder.parameters()).device  # the other networks may be on another device
    embeddings = encoder(torch.stack([token_ids, empty] if weighted else [token_ids]).to(device)).float()
    return torch.lerp(embeddings[-1], embeddings[0], weights[:, None].to(device)) if weighted else embeddings[0]


def word_pieces(prompt: str, config: ClipConfig, folder: Path) -> tuple[Tensor, Tensor]:
    """Return token ids (L,) and their weights (L,), with the start token and padded with end tokens.

    Long prompts are truncated. Raises WeightsError and SettingsError as ``encode_prompt`` does.
    """
    begin, end = config.words - 2, config.words - 1
    spans = [span for span in weighted_spans(prompt) if span.text.strip()]
    pieces = [(token, span.weight) for span in spans for token in _tokenize(span.text, folder)]
    limit = config.longest - 2
    if len(pieces) > limit:
        logger.warning("The prompt exceeds CLIP's limit: its last %d tokens are ignored.", len(pieces) - limit)
    padding = [(end, 1.0)] * max(limit + 1 - len(pieces), 1)
    token_ids, weights = zip((begin, 1.0), *pieces[:limit], *padding, strict=True)
    return torch.tensor(token_ids), torch.tensor(weights)


def _tokenize(text: str, folder: Path) -> list[int]:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"Prompts need CLIP's vocabulary: put {' and '.join(FILES)} of openai/clip-vit-large-patch14 (on Hugging "
            f"Face) into the folder {folder}."
        )
    return list(_load_tokenizer(folder)(text, add_special_tokens=False).input_ids)


@lru_cache(maxsize=1)
def _load_tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
