"""Descriptions of public checkpoints: the mapping from our state-dict keys to theirs.

A layout consists of a configuration and, for each network, the source of its tensors. Rules map our keys to the public
ones, so that missing and unexpected keys can both be reported by the names used in the public file.
"""

from dataclasses import dataclass

from ..config import PortraitTalkConfig

Rule = tuple[str, str]  # regular expression and replacement, applied to the key
SHIPPED = "mini"  # name of a file that is always available: the model in the package


@dataclass(frozen=True)
class Source:
    """Where the tensors of a network come from.

    ours: prefix of our keys. files: names of public files, whose tensors are merged; a later file wins. theirs: prefix
    of the public keys, which replaces ours. rules: applied in order, turn our key into the public one. others: further
    lists of rules, each of which turns the public key into an alternative name or that of a duplicate. only: regular
    expression that selects some of our keys (matched without the prefix). fused: (regular expression, replacements) of
    public keys whose tensors are several stacked along the first dimension, with one replacement per tensor. ignored:
    regular expression, matched at the beginning, of public keys that the network does not use. prediction: training
    target of the denoiser that these weights are for, "velocity" or "epsilon"; empty if they fit both.
    """

    ours: str
    files: tuple[str, ...]
    theirs: str = ""
    rules: tuple[Rule, ...] = ()
    others: tuple[tuple[Rule, ...], ...] = ()
    only: str = ""
    fused: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ignored: str = "(?!)"
    prediction: str = ""


@dataclass(frozen=True)
class Layout:
    """The layout of a family of public checkpoints, named by its configuration."""

    config: PortraitTalkConfig
    sources: tuple[Source, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the public files, without duplicates and without the shipped model."""
        named = (file for source in self.sources for file in source.files)
        return tuple(dict.fromkeys(file for file in named if file != SHIPPED))
