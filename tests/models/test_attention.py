import pytest
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention

from portraittalk.models.attention import BRANCHES, FEW_KEYS, AttentionInputs, DecoupledCrossAttention, _attended

WIDTH, TOKEN_DIM = 32, 24


@pytest.fixture
def attention():
    torch.manual_seed(0)
    layer = Attention(query_dim=WIDTH, cross_attention_dim=TOKEN_DIM, heads=4, dim_head=8)
    layer.set_processor(DecoupledCrossAttention("block", TOKEN_DIM, WIDTH))
    return layer.eval()


def tokens(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {branch: torch.randn(2, 5, TOKEN_DIM, generator=generator) for branch in BRANCHES}


def run(layer, hidden, found, **scales):
    branches = {"block": layer.processor.project(layer, found)}
    return layer(hidden, encoder_hidden_states=AttentionInputs(branches, {**dict.fromkeys(BRANCHES, 1.0), **scales}))


@torch.no_grad()
@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_of_scale_zero_is_a_branch_that_is_absent(attention, branch):
    hidden, found = torch.randn(2, 9, WIDTH), tokens()
    without = {name: value for name, value in found.items() if name != branch}
    off = run(attention, hidden, found, **{branch: 0.0})
    torch.testing.assert_close(off, run(attention, hidden, without), atol=1e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("branch", BRANCHES)
def test_each_branch_adds_its_own_result_in_proportion_to_its_scale(attention, branch):
    hidden, found = torch.randn(2, 9, WIDTH), tokens()
    none, half, full = (run(attention, hidden, found, **{branch: scale}) for scale in (0.0, 0.5, 1.0))
    assert (full - none).abs().max() > 1e-3
    assert torch.allclose(half - none, (full - none) / 2, atol=1e-5)


@torch.no_grad()
def test_with_text_alone_it_is_ordinary_cross_attention(attention):
    hidden, text = torch.randn(2, 9, WIDTH), tokens()["text"]
    decoupled = run(attention, hidden, {"text": text})
    from diffusers.models.attention_processor import AttnProcessor2_0

    attention.set_processor(AttnProcessor2_0())
    assert torch.allclose(decoupled, attention(hidden, encoder_hidden_states=text), atol=1e-6)


@pytest.mark.parametrize("keys", [1, 5, FEW_KEYS, FEW_KEYS + 1])
def test_attention_to_a_few_keys_is_that_of_torch(keys):
    query, key, value = (torch.randn(2, 4, count, 8) for count in (9, keys, keys))
    expected = F.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(_attended(query, key, value), expected, atol=1e-6, rtol=0)
    halves = _attended(query.bfloat16(), key.bfloat16(), value.bfloat16())
    assert halves.dtype == torch.bfloat16
    torch.testing.assert_close(halves.float(), expected, atol=0.05, rtol=0)
