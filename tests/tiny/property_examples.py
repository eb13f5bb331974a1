"""How many examples of a property are tried: a few in the normal suite, always the same; many where `slow` tests run.

@EXAMPLES
def test_a_property(examples):
    @examples
    @given(st.text())
    def check(text): ...

    check()
"""

import pytest
from hypothesis import HealthCheck, settings

UNHURRIED = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("few", max_examples=40, derandomize=True, **UNHURRIED)
settings.register_profile("many", max_examples=4000, print_blob=True, **UNHURRIED)

EXAMPLES = pytest.mark.parametrize(
    "examples",
    [
        pytest.param(settings.get_profile("few"), id="few"),
        pytest.param(settings.get_profile("many"), id="many", marks=pytest.mark.slow),
    ],
)
