"""Features that are computed once, and forgotten after an update of sharded parameters, which leaves no trace."""

import torch
from torch import nn

from vlprompt.models.feature_cache import FeatureCache


def test_what_trained_parameters_gave_is_forgotten_after_an_update():
    module, calls = nn.Linear(2, 2), []
    cache = FeatureCache()

    def computed():
        with torch.no_grad():
            cache(lambda: calls.append(1) or torch.zeros(1), [module])
        return len(calls)

    assert [computed(), computed()] == [1, 1]
    module.weight.data += 1  # without a trace
    cache.forget_trained()
    assert computed() == 2
    module.requires_grad_(False)
    assert [computed(), computed()] == [2, 2]
    cache.clear()
    assert computed() == 3
    cache.forget_trained()
    assert computed() == 3, 'of frozen parameters'
