"""A few hundred mutated files of every kind; `benchmarks/fuzz_inputs.py` reads thousands, in a process of their own."""

import pytest
from fuzz_inputs import READ, REFUSED, outcome
from mutations import SUFFIXES, mutation, samples

EACH = {kind: 60 if kind in ("png", "jpeg", "motion") else 40 for kind in SUFFIXES}  # fewer of the slower kinds


@pytest.mark.parametrize("kind", SUFFIXES)
def test_mutated_files_are_read_or_refused(kind, tmp_path):
    results = [outcome(kind, 2, number, tmp_path) for number in range(EACH[kind])]
    assert not [done for done in results if not done.fine]
    assert {done.result for done in results} == {READ, REFUSED}, "mutations are neither all harmless nor all fatal"


@pytest.mark.parametrize("kind", SUFFIXES)
def test_a_mutation_can_be_made_again(kind):
    first = [mutation(kind, 0, number) for number in range(20)]
    assert first == [mutation(kind, 0, number) for number in range(20)]
    assert len({*first, *samples(kind)}) > 15
    assert first != [mutation(kind, 1, number) for number in range(20)]
