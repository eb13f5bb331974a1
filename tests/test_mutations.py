"""A few hundred mutated files of every kind; `benchmarks/fuzz_inputs.py` reads thousands, in a process of their own."""

import pytest
from fuzz_inputs import READ, READERS, REFUSED, outcome
from mutations import mutation
from sample_files import SUFFIXES, samples

from portraittalk.errors import MotionError

EACH = {kind: 60 if kind in ("png", "jpeg", "motion") else 40 for kind in SUFFIXES}  # fewer of the slower kinds


@pytest.mark.parametrize("kind", SUFFIXES)
def test_mutated_files_are_read_or_refused(kind, tmp_path):
    results = [outcome(kind, 2, number, tmp_path) for number in range(EACH[kind])]
    assert not [done for done in results if not done.fine]
    assert {done.result for done in results} == {READ, REFUSED}, "mutations are neither all harmless nor all fatal"


def test_other_errors_are_findings(tmp_path, monkeypatch):
    def broken(path, number):
        raise KeyError("frames") if number else MotionError("Two\nlines.")

    monkeypatch.setitem(READERS, "motion", broken)
    wrong = [outcome("motion", 0, number, tmp_path) for number in (0, 1)]
    assert [done.fine for done in wrong] == [False, False]
    assert wrong[1].result == "KeyError in test_mutations.py, broken"


@pytest.mark.parametrize("kind", SUFFIXES)
def test_a_mutation_can_be_made_again(kind):
    first = [mutation(kind, 0, number) for number in range(20)]
    assert first == [mutation(kind, 0, number) for number in range(20)]
    assert len({*first, *samples(kind)}) > 15
    assert first != [mutation(kind, 1, number) for number in range(20)]
