"""The weights that ship with the package: small, exact, and as good as the model card says."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vlprompt.clip import build_clip, tokenize
from vlprompt.clip.builtin import PRETRAINED_FOLDER, seeded_token_embedding
from vlprompt.datasets.generated import OBJECT_CLASSES, SCENE_CLASSES
from vlprompt.datasets.generated.tasks import labelled_images
from vlprompt.datasets.generated.vocabulary import COMMON_STYLES, SHAPES
from vlprompt.datasets.named_objects import segmentation_objects
from vlprompt.evaluation.local_features import LocalFeatureMeasures
from vlprompt.models.preprocessors import ClipPreprocessor

MEGABYTE = 10**6
FORMS = ('micro-rn', 'micro-vit')


@pytest.fixture(scope='module', params=FORMS)
def shipped(request):
    return build_clip(request.param, 'scenes')


def accuracy(model, styles):
    """Top-1 accuracy in percent of 'a photo of a {}.' on 80 pinned pictures of single objects."""
    options = dict(styles=styles, counts=(1,), size=160, radius=(0.16, 0.4))
    images, labels = labelled_images(SCENE_CLASSES, 5, seed=31, **options)
    batch = ClipPreprocessor()(dict(inputs=[torch.from_numpy(image).permute(2, 0, 1) for image in images]))['inputs']
    with torch.no_grad():
        text = F.normalize(model.encode_text(tokenize([f'a photo of a {name}.' for name in SCENE_CLASSES])), dim=-1)
        image = F.normalize(model.encode_image(batch, local=False, maps=False).cls, dim=-1)
    return 100 * np.mean((image @ text.T).argmax(dim=1).numpy() == labels)


def test_all_files_together_take_at_most_16_megabytes():
    assert sum(path.stat().st_size for path in PRETRAINED_FOLDER.iterdir() if path.is_file()) <= 16 * MEGABYTE


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
    ('arch', 'common', 'mosaic'),
    [('micro-rn', 90.0, 51.2), ('micro-vit', 85.0, 42.5)],
)
def test_zero_shot_accuracy(arch, common, mosaic):
    model = build_clip(arch, 'scenes')
    assert accuracy(model, COMMON_STYLES) == pytest.approx(common, abs=3)
    assert accuracy(model, ('mosaic',)) == pytest.approx(mosaic, abs=3)


def test_local_features_of_the_resnet_find_what_is_named_and_those_of_the_vit_do_not():
    """Pointing, in 40 scenes of several objects: chance is 14 %."""
    images, texts = segmentation_objects(count=40), [f'a photo of a {name}.' for name in OBJECT_CLASSES]
    found = {}
    for arch in FORMS:
        model, measures = build_clip(arch, 'scenes'), LocalFeatureMeasures(len(texts))
        with torch.no_grad():
            names = F.normalize(model.encode_text(tokenize(texts)), dim=-1)
            for item in images:
                batch = ClipPreprocessor()(dict(inputs=[torch.from_numpy(item.image).permute(2, 0, 1)]))['inputs']
                features = model.encode_image(batch, maps=False)
                scores = F.normalize(features.local[0], dim=-1) @ names.T
                measures.add(scores, torch.from_numpy(item.mask), features.grid)
        found[arch] = measures.result()
    assert found['micro-rn']['pointing'] > 75
    assert found['micro-rn']['miou'] > 25
    assert found['micro-vit']['pointing'] < found['micro-rn']['pointing'] - 30
    assert found['micro-rn']['pointing_chance'] < 20


def test_the_resnet_pretrained_on_labels_separates_shapes():
    """Test images are nearest to the mean feature of their own shape, as those of a random tower are not."""
    options = dict(styles=COMMON_STYLES, counts=(1,), size=160, radius=(0.16, 0.4))
    images, labels = labelled_images(tuple(SHAPES), 8, seed=31, **options)
    batch = ClipPreprocessor()(dict(inputs=[torch.from_numpy(image).permute(2, 0, 1) for image in images]))['inputs']
    first, found = np.arange(len(labels)) % 8 < 4, {}
    assert set(labels[first]) == set(labels[~first]) == set(range(len(SHAPES)))
    for weights in ('labels', None):
        torch.manual_seed(0)
        with torch.no_grad():
            features = build_clip('micro-rn', weights).encode_image(batch, local=False, maps=False).cls
        features = F.normalize(features, dim=-1)
        means = torch.stack([features[torch.from_numpy(first & (labels == k))].mean(0) for k in range(len(SHAPES))])
        nearest = (features[torch.from_numpy(~first)] @ F.normalize(means, dim=-1).T).argmax(dim=1).numpy()
        found[weights] = 100 * np.mean(nearest == labels[~first])
    assert found['labels'] > 60
    assert found[None] < 25


def test_which_weights_are_shipped():
    with pytest.raises(
        ValueError, match=r"weights='labels' are not shipped for arch 'micro-vit', only for \['micro-rn'\]"
    ):
        build_clip('micro-vit', 'labels')
    with pytest.raises(ValueError, match=r"only for \['micro-rn', 'micro-vit'\]"):
        build_clip('RN50', 'scenes')
