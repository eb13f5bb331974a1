"""The networks that read prompts: one file that ships beside the models, and the vocabulary beside it."""

import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..config import TextConfig, rebuilt
from ..errors import WeightsError
from ..models.text_net import ExpressionNet, SentenceNet
from .load import fill, read_tensors

FOLDER = Path(__file__).parent.parent / "assets" / "text"
FILE, VOCABULARY = FOLDER / "expression.safetensors", FOLDER / "vocabulary.txt"
FORMAT = "portraittalk text"


class TextNetworks(nn.Module):
    """The sentence encoder and the reader of expressions, together."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.sentences, self.expression = SentenceNet(config), ExpressionNet(config)


@lru_cache(maxsize=2)
def load_text_networks(path: Path = FILE) -> TextNetworks:
    """On the CPU: a prompt is a matter of milliseconds. Raises WeightsError where the file is missing, damaged, or
    holds something else."""
    header, tensors = read_tensors(path)
    if header.get("format") != FORMAT:
        raise WeightsError(f"{path.name} holds weights of something else than a text encoder; choose another file.")
    try:
        config = rebuilt(TextConfig, json.loads(header["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path.name} is of another version of PortraitTalk ({error}); get one for this.") from error
    with torch.device("meta"):
        networks = TextNetworks(config)
    fill(networks, tensors, path.name)
    return networks.float().eval().requires_grad_(False)


def save_text_networks(path: Path, networks: TextNetworks) -> None:
    """Writes the networks in half precision."""
    tensors: dict[str, Tensor] = {name: value.half().contiguous() for name, value in networks.state_dict().items()}
    part = path.with_suffix(".part")
    save_file(tensors, part, {"format": FORMAT, "config": json.dumps(asdict(networks.config))})
    part.replace(path)


@lru_cache(maxsize=1)
def load_tokenizer(path: Path = VOCABULARY) -> Any:
    """BERT's word pieces, lower case. Raises WeightsError where ``tokenizers`` is not installed."""
    try:
        from tokenizers import BertWordPieceTokenizer
    except ImportError as error:
        raise WeightsError("Reading a prompt needs: pip install tokenizers; or leave the prompts empty.") from error
    return BertWordPieceTokenizer(str(path), lowercase=True)
