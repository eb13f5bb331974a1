"""A small sentence encoder, and what a sentence asks of a face."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..config import TextConfig

NEAREST, SHARPNESS = 20, 10.0  # captions that a sentence is compared with, and how much more the nearer ones count
STEP = 1 / 200  # of the captions' places, which are whole numbers
DOUBT = 0.3  # exponent: how much less a sentence does whose concept is uncertain


class SentenceNet(nn.Module):
    """Word pieces (B, L), 0 where there is none -> unit-length embeddings (B, D) of sentences.

    The layers and the order of their norms are BERT's; the table of words is factored, as in ALBERT (Lan et al. 2020,
    section 3.1). The embedding is the mean over the sentence's pieces.
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
        there = pieces != 0
        places = torch.arange(pieces.shape[1], device=pieces.device)
        x = self.norm(self.widen(self.words(pieces)) + self.places(places))
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=~there)
        weights = there[..., None].to(x)
        return normalize((x * weights).sum(1) / weights.sum(1), dim=-1)


class ExpressionNet(nn.Module):
    """Sentence embeddings (B, D) -> which concepts of an expression they speak of, and how strongly.

    ``targets`` (C, T) holds what each of the concepts asks of a face, in the order of ``EXPRESSION_NAMES``.
    ``captions`` (N, K) holds where captions lie along ``axes`` (D, K), in ``STEP``; ``meanings`` (N,) their concepts.
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
        """Presence (B, C) of the concepts, about 0..1; strength (B,), 1 where nothing is said of it and 0 where they
        are denied; the logit (B,) that the sentence asks for an expression at all."""
        out = self.layers(sentences * sentences.shape[-1] ** 0.5)
        return out[:, :-2], out[:, -2], out[:, -1]

    def remember(self, sentences: Tensor, meanings: Tensor) -> None:
        """Keeps where captions lie: sentences (N, D), meanings (N,), along the principal axes of all."""
        self.axes = torch.linalg.svd(sentences, full_matrices=False)[2][: self.axes.shape[1]].T.contiguous()
        self.captions = (sentences @ self.axes / STEP).round().clamp(-127, 127).to(torch.int8)
        self.meanings = meanings.to(torch.uint8)

    def nearest(self, sentences: Tensor) -> Tensor:
        """The concepts of the nearest captions, the nearer the more, as shares (B, C)."""
        likeness = sentences @ self.axes @ (self.captions.to(sentences) * STEP).T
        near, which = likeness.topk(min(NEAREST, len(self.captions)), 1)
        shares = sentences.new_zeros(len(sentences), len(self.targets))
        return shares.scatter_add_(1, self.meanings.long()[which], (SHARPNESS * near).softmax(1))

    def read(self, sentences: Tensor) -> tuple[Tensor, Tensor]:
        """What they ask of a face (B, T), and the probability (B,) that they ask for anything."""
        presence, strength, asks = self(sentences)
        presence = (presence.clamp(0, 1) + self.nearest(sentences)) / 2
        top = presence.amax(1, keepdim=True).clamp_min(1e-6)
        # An unknown wording leaves doubt between concepts: the likelier ones push the others away, and what is
        # left of the doubt weakens the whole a little.
        clear = (presence / top).square() * top.clamp_max(1) ** DOUBT
        return strength.clamp_min(0)[:, None] * (clear @ self.targets), asks.sigmoid()
