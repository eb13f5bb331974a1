import torch

from portraittalk.config import SMALL
from portraittalk.models.identity_net import IdentityNet

CONFIG = SMALL.identity_net


@torch.no_grad()
def test_tokens_of_several_references_are_those_of_each_joined():
    torch.manual_seed(0)
    net = IdentityNet(CONFIG, token_dim=64).eval()
    references = torch.rand(3, 3, 256, 256)
    together = net(references)
    assert together.shape == (3 * CONFIG.tokens, 64)
    assert torch.allclose(together, torch.cat([net(one[None]) for one in references]), atol=1e-5)


@torch.no_grad()
def test_the_embedding_has_unit_length_and_tells_pictures_apart():
    torch.manual_seed(0)
    net = IdentityNet(CONFIG, token_dim=64).eval()
    embeddings = net.encoder.embed(net.encoder(torch.rand(2, 3, 256, 256)))
    assert torch.allclose(embeddings.norm(dim=-1), torch.ones(2), atol=1e-5)
    assert not torch.allclose(embeddings[0], embeddings[1])
