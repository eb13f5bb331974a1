"""A small sentence encoder, and the network that predicts the facial expression a sentence asks for."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..config import TextConfig

NEAREST, SHARPNESS = (
    20,
    10.0,
)  # nearest captions that vote on a sentence's concept; inverse temperature of their weights
STEP = 1 / 200  # quantisation step of the caption coordinates, which are stored as int8
DOUBT = 0.3  # exponent that weakens the expression of a sentence whose concept is uncertain


class SentenceNet(nn.Module):
    """Token ids (B, L) of word pieces, padded with 0 -> unit-length sentence embeddings (B, D).

    The layers are BERT's, with the same post-norm order; the word embedding is factorised, as in ALBERT (Lan et al.
    2020, section 3.1). The sentence embedding is the mean over the word pieces.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocabulary, config.word_dim)
        self.widen = nn.Linear(config.word_dim, config.dim)
        self.places = nn.Embedding(config.longest, config.dim)
        self.norm = nn.LayerNorm(config.dim, eps=1e-12)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.dim, config.heads, 4 * config.dim, 0.0, "gelu", 1e-12, batch_first=True, norm_first=False
            )
            for _ in range(config.layers)
        )

    def forward(self, pieces: Tensor) -> Tensor:
        mask = pieces != 0
        places = torch.arange(pieces.shape[1], device=pieces.device)
        x = self.norm(self.widen(self.words(pieces)) + self.places(places))
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=~mask)
        weights = mask[..., None].to(x)
        return normalize((x * weights).sum(1) / weights.sum(1), dim=-1)


class ExpressionNet(nn.Module):
    """Sentence embeddings (B, D) -> presence and strength of expression concepts.

    ``targets`` (C, T) holds the expression of each concept, in the order of ``EXPRESSION_NAMES``. ``captions`` (N, K)
    holds the coordinates of the training captions along ``axes`` (D, K), in units of ``STEP``; ``meanings`` (N,) holds
    their concepts.
    """

    targets: Tensor
    axes: Tensor
    captions: Tensor
    meanings: Tensor

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(config.dim, config.hidden),
            nn.SiLU(),
            nn.Dropout(0.2),
            nn.Linear(config.hidden, config.hidden),
            nn.SiLU(),
            nn.Dropout(0.1),
            nn.Linear(config.hidden, config.concepts + 2),
        )
        self.register_buffer("targets", torch.zeros(config.concepts, config.targets))
        self.register_buffer("axes", torch.zeros(config.dim, config.axes))
        self.register_buffer("captions", torch.zeros(config.captions, config.axes, dtype=torch.int8))
        self.register_buffer("meanings", torch.zeros(config.captions, dtype=torch.uint8))

    def forward(self, sentences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the presence (B, C) of the concepts, about 0..1, their strength (B,), and a logit (B,).

        The strength is 1 where the sentence does not mention it, and 0 where the concepts are negated. The logit says
        whether the sentence asks for any expression.
        """
        out = self.layers(sentences * sentences.shape[-1] ** 0.5)
        return out[:, :-2], out[:, -2], out[:, -1]

    def remember(self, sentences: Tensor, meanings: Tensor) -> None:
        """Store captions for ``nearest``: embeddings (N, D), projected on their principal axes, and concepts (N,)."""
        self.axes = torch.linalg.svd(sentences, full_matrices=False)[2][: self.axes.shape[1]].T.contiguous()
        self.captions = (sentences @ self.axes / STEP).round().clamp(-127, 127).to(torch.int8)
        self.meanings = meanings.to(torch.uint8)

    def nearest(self, sentences: Tensor) -> Tensor:
        """Return concept shares (B, C) of the nearest captions, weighted by a softmax of their similarity."""
        similarity = sentences @ self.axes @ (self.captions.to(sentences) * STEP).T
        near, which = similarity.topk(min(NEAREST, len(self.captions)), 1)
        shares = sentences.new_zeros(len(sentences), len(self.targets))
        return shares.scatter_add_(1, self.meanings.long()[which], (SHARPNESS * near).softmax(1))

    def amounts(self, sentences: Tensor) -> tuple[Tensor, Tensor]:
        """Return how much of each concept (B, C) a sentence asks for, and the probability (B,) that it asks for any."""
        presence, strength, asks = self(sentences)
        presence = (presence.clamp(0, 1) + self.nearest(sentences)) / 2
        top = presence.amax(1, keepdim=True).clamp_min(1e-6)
        # An unfamiliar wording is ambiguous between concepts: the likelier ones suppress the others, and the remaining
        # uncertainty weakens the expression a little.
        clear = (presence / top).square() * top.clamp_max(1) ** DOUBT
        return strength.clamp_min(0)[:, None] * clear, asks.sigmoid()

    def read(self, sentences: Tensor) -> tuple[Tensor, Tensor]:
        """Return the expression (B, T) that each sentence asks for, and the probability (B,) that it asks for any."""
        amounts, asks = self.amounts(sentences)
        return amounts @ self.targets, asks
