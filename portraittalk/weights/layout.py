"""How public checkpoints are described: which of their keys fill which of ours.

A layout is a configuration and, for each network, where its keys come from. The rules go from our key to the public
one: what our networks ask for and a file lacks, and what a file holds and nothing asks for, are then both known by the
names that the public file uses.
"""

from dataclasses import dataclass

from ..config import PortraitTalkConfig

Rule = tuple[str, str]  # a regular expression over the key so far, and what replaces it
SHIPPED = "mini"  # a file that nobody has to name: the model that ships


@dataclass(frozen=True)
class Source:
    """Where a network's keys come from.

    ours: how our keys begin. files: names of public files whose tensors are taken together; where two hold one key, the
    later counts. theirs: how their keys begin. rules: turn our key, so begun, into the public one, one after the other.
    others: each of them turns that one into a further name under which it is published, or held a second time. only: a
    regular expression of those of our keys that are meant, if not all, without their beginning. fused: regular
    expressions of public keys whose tensors hold several in a row, each with what its part stands for in the names of
    these. ignored: a regular expression of the beginnings of public keys that the network has no use for. prediction:
    what a denoiser has to predict so that these weights mean anything to it, if that matters.
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
    """A family of public checkpoints, by the name of its configuration."""

    config: PortraitTalkConfig
    sources: tuple[Source, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the public files, each once."""
        named = (file for source in self.sources for file in source.files)
        return tuple(dict.fromkeys(file for file in named if file != SHIPPED))
