"""The weights that ship with the package: small, exact, and as good as the model card says."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vlprompt.clip import build_clip, tokenize
from vlprompt.clip.builtin import PRETRAINED_FOLDER, seeded_token_embedding
from vlprompt.datasets.generated import SCENE_CLASSES
from vlprompt.datasets.generated.tasks import labelled_images
from vlprompt.datasets.generated.vocabulary import COMMON_STYLES, RARE_STYLES
from vlprompt.models.preprocessors import ClipPreprocessor

MEGABYTE = 10**6
FORMS = ('micro-rn', 'micro-vit')


@pytest.fixture(scope='module', params=FORMS)
def shipped(request):
    return build_clip(request.param, 'scenes')


def accuracy(model, styles):
    """Top-1 accuracy in percent of 'a photo of a {}.' on 72 pinned pictures of single objects."""
    images, labels = labelled_images(SCENE_CLASSES, 6, seed=31, styles=styles, counts=(1,))
    batch = ClipPreprocessor()(dict(inputs=[torch.from_numpy(image).permute(2, 0, 1) for image in images]))['inputs']
    with torch.no_grad():
        text = F.normalize(model.encode_text(tokenize([f'a photo of a {name}.' for name in SCENE_CLASSES])), dim=-1)
        image = F.normalize(model.encode_image(batch, local=False, maps=False).cls, dim=-1)
    return 100 * np.mean((image @ text.T).argmax(dim=1).numpy() == labels)


def test_all_files_together_take_at_most_8_megabytes():
    assert sum(path.stat().st_size for path in PRETRAINED_FOLDER.iterdir() if path.is_file()) <= 8 * MEGABYTE


def test_file_holds_half_precision_and_few_rows(shipped):
    content = torch.load(PRETRAINED_FOLDER / f'{shipped.arch.name}.pth', weights_only=True)
    floating = [value for value in content['state_dict'].values() if value.is_floating_point()]
    assert {value.dtype for value in floating} == {torch.float16}
    assert len(content['token_ids']) == len(content['token_rows']) < 1000
    assert content['arch'] == shipped.arch.name


def test_model_has_exactly_the_stored_values(shipped):
    content = torch.load(PRETRAINED_FOLDER / f'{shipped.arch.name}.pth', weights_only=True)
    state = shipped.state_dict()
    for key, value in content['state_dict'].items():
        assert torch.equal(state[key], value.to(state[key].dtype)), key
    table = state['text.token_embedding.weight']
    ids = content['token_ids'].long()
    assert torch.equal(table[ids], content['token_rows'].float())
    unseen = torch.ones(len(table), dtype=torch.bool)
    unseen[ids] = False
    assert torch.equal(table[unseen], seeded_token_embedding(*table.shape, content['token_seed'])[unseen])


def test_words_of_the_world_were_trained_and_others_were_not(shipped):
    content = torch.load(PRETRAINED_FOLDER / f'{shipped.arch.name}.pth', weights_only=True)
    seen = set(content['token_ids'].tolist())
    assert set(tokenize([f'a photo of a {name}.' for name in SCENE_CLASSES]).unique().tolist()) <= seen
    assert not set(tokenize(['elephant'])[0, 1:2].tolist()) & seen


@pytest.mark.parametrize(
    ('arch', 'common', 'rare'),
    [('micro-rn', 93.1, 63.9), ('micro-vit', 45.8, 38.9)],
)
def test_zero_shot_accuracy(arch, common, rare):
    model = build_clip(arch, 'scenes')
    assert accuracy(model, COMMON_STYLES) == pytest.approx(common, abs=3)
    assert accuracy(model, RARE_STYLES) == pytest.approx(rare, abs=3)
