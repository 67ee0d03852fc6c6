"""Every combination of parts that belong together: build, loss, gradient, save, load, predict.

A new prompt, alignment, visual prompt or tuner is one line in a table below; :func:`belong` says what does not go
together, and :func:`test_what_does_not_belong_together` that it is refused with a message.
"""

from collections.abc import Sequence
from functools import partial
from itertools import product

import pytest
import torch
from mmengine.registry import DefaultScope

from tests.conftest import MICRO
from vlprompt.clip import build_clip
from vlprompt.engine.checkpoint import describe_model, load_trained, read_checkpoint, trained_state
from vlprompt.engine.writing import write_checkpoint
from vlprompt.models import HeadClassifier, SelfRegulatedClassifier, TextClassifier
from vlprompt.models.backbones import AttentionPooledTrunk, ClipTrunk
from vlprompt.models.reid import IdentityPromptLearner, ReIdentifier
from vlprompt.structures import ClassificationSample, ReIDSample

NAMES = ['face', 'sea_lion', '2012 Audi S4 Sedan']
LABELS = [0, 2, 1, 0]

TOWERS = ('rn', 'vit')
ARCHS = MICRO | {'vit-of-four-blocks': dict(MICRO['vit'], vision_layers=4)}  # one for each map of dense models
PROMPTS = {
    'templates': dict(type='vlprompt.TemplatePrompt', templates=['a photo of a {}.', 'art of the {}.']),
    'context': dict(type='vlprompt.ContextPrompt', n_ctx=3),
    'contexts': dict(type='vlprompt.ContextPrompt', n_ctx=3, n_prompts=2),
    'class-specific': dict(type='vlprompt.ContextPrompt', n_ctx=3, n_prompts=2, class_specific=True),
    'middle': dict(type='vlprompt.ContextPrompt', n_ctx=3, n_prompts=2, position='middle'),
    'fixed-words': dict(type='vlprompt.ContextPrompt', n_ctx=2, init='a photo of a'),
    'deep': dict(type='vlprompt.ContextPrompt', n_ctx=2, init='a photo of a', depth=2),
    'conditional': dict(type='vlprompt.ConditionalPrompt', n_ctx=3, n_prompts=2, reduction=3),
    'conditional-deep': dict(type='vlprompt.ConditionalPrompt', init='a photo of a', depth=2, reduction=3),
}
ALIGNMENTS = {
    'cosine': dict(type='vlprompt.CosineAlignment'),
    'vote': dict(type='vlprompt.CosineAlignment', ensemble='logits'),
    'uniform': dict(type='vlprompt.UniformAlignment'),
    'transport': dict(type='vlprompt.TransportAlignment', global_weight=1.0),
}
VISUALS = {
    'none': None,
    'shallow': dict(type='vlprompt.VisualPrompt', length=2, depth=1),
    'deep': dict(type='vlprompt.VisualPrompt', length=2, after_norm=False),
    'sets': dict(type='vlprompt.VisualPrompt', length=2, depth=1, after_norm=False, sets=3),
    'coupled': dict(type='vlprompt.CoupledPrompt'),
}
COUPLED_TO = ('context', 'fixed-words', 'deep', 'conditional-deep')  # one set of vectors, shared by all classes


def belong(prompt: str, alignment: str, tower: str, visual: str) -> bool:
    """Visual prompts need a ViT; coupled ones a single shared context."""
    if visual != 'none' and tower != 'vit':
        return False
    return visual != 'coupled' or prompt in COUPLED_TO


TEXT_ROWS = [row for row in product(PROMPTS, ALIGNMENTS, TOWERS, VISUALS) if belong(*row)]

REGULATED_ROWS = [row for row in TEXT_ROWS if row[0] in ('context', 'deep') and row[1] != 'vote']
LORA = dict(rank=2, dropout=0.0)
LORAS = {
    'both': LORA,
    'text': dict(LORA, towers=['text']),
    'mlp': dict(LORA, targets=['out', 'fc', 'proj']),
    'last-block': dict(LORA, towers=['visual'], blocks=[1]),
}
LORA_PROMPTS = ('templates', 'context', 'deep', 'conditional')
LORA_ROWS = [
    ('templates', 'cosine', 'rn', 'none', 'text'),
    *((prompt, 'cosine', 'vit', visual, 'both') for prompt in LORA_PROMPTS for visual in ('none', 'deep')),
    *(('context', 'transport', 'vit', 'none', lora) for lora in LORAS),
    ('contexts', 'transport', 'vit', 'sets', 'both'),
    ('deep', 'cosine', 'vit', 'coupled', 'both'),
]
CLASS_WEIGHTS = dict(type='vlprompt.ClassWeights')
TUNED = {'norms': 'clip.*.ln_*', 'biases': 'clip.*bias', 'packed': 'clip.*.in_proj_bias', 'lora': 'clip.*.lora.*'}

LOCALS = {
    'rn': ('value',),
    'vit': ('maskclip', 'maskclip_full', 'sclip', 'clearclip', 'kk', 'naclip'),
}
MARGINALS = {
    'uniform': {},
    'class-token': dict(marginals='class_token'),
    'text': dict(marginals='text', marginal_temperature=0.1),
}
SALIENT = (('native', 'class-token'), ('native', 'text'))
LOCAL_ROWS = [
    (alignment, tower, visual, *rest)
    for alignment, tower, visual in product(('uniform', 'transport'), TOWERS, ('none', 'shallow', 'deep'))
    for rest in [*((local, 'uniform') for local in LOCALS[tower]), *SALIENT, (LOCALS[tower][-1], 'class-token')]
    if belong('contexts', alignment, tower, visual)
]
"""Forms of local features and marginals; those of several sets are no places, so they have neither."""

TRUNKS = {
    'clip': dict(clip=dict(arch=MICRO['vit'])),
    'timm': dict(timm=dict(arch=dict(width=32, layers=2, heads=2, patch_size=16, image_size=64))),
}
HEADS = {'cosine': dict(type='vlprompt.CosineHead'), 'linear': dict(type='vlprompt.LinearHead')}
SHARED = dict(type='vlprompt.VisualPrompt', length=2)
TUNERS = {
    'linear-probe': dict(type='vlprompt.Tuner'),
    'fine-tuning': dict(type='vlprompt.Tuner'),
    'vpt-shallow': dict(type='vlprompt.PromptTuner', prompt=dict(SHARED, depth=1)),
    'vpt-deep': dict(type='vlprompt.PromptTuner', prompt=SHARED),
    'vpt-through-norm': dict(type='vlprompt.PromptTuner', prompt=dict(SHARED, after_norm=False)),
    'vpt-projected': dict(type='vlprompt.PromptTuner', prompt=dict(SHARED, project=8)),
    'pool': dict(
        type='vlprompt.GroupedPromptTuner',
        prompt=SHARED,
        pool=dict(type='vlprompt.PromptPool', size=4, length=2, first_block=1),
    ),
    'adapter': dict(type='vlprompt.AdaptFormer', rank=4),
}
HEAD_ROWS = list(product(TUNERS, HEADS, TRUNKS))
DUAL_STREAMS = dict(type='vlprompt.DualStreamLoss', balanced=dict(type='vlprompt.AGCLLoss'))
DUAL_STREAM_ROWS = list(product(('vpt-deep', 'pool'), HEADS, TRUNKS))
DENSE_ROWS = list(product(('post', 'pre'), ('rn', 'vit-of-four-blocks')))
DENSE_LOCAL_ROWS = [('rn', 'value'), *(('vit-of-four-blocks', local) for local in LOCALS['vit'])]
VISION = {'rn': dict(last_stride=1, interpolation='bilinear'), 'vit': dict(interpolation='bilinear')}


@pytest.fixture(scope='module')
def base(tmp_path_factory):
    """Arguments of build_clip by tower, for weights in a file: a checkpoint then holds what was trained alone."""
    folder, arguments = tmp_path_factory.mktemp('towers'), {}
    torch.manual_seed(0)
    for tower, arch in ARCHS.items():
        path = folder / f'{tower}.pt'
        torch.save({k.removeprefix('text.'): v for k, v in build_clip(arch=arch).state_dict().items()}, path)
        arguments[tower] = dict(arch=arch, weights=str(path))
    return arguments


def text_classifier(
    base,
    prompt: str,
    alignment: str,
    tower: str,
    visual: str,
    local: str = 'native',
    marginals: str = 'uniform',
    lora: dict | None = None,
    tuned: Sequence[str] = (),
    build=TextClassifier,
) -> TextClassifier:
    trainable = [*tuned, *(['prompt.*'] if prompt != 'templates' else [])]
    return build(
        clip=dict(base[tower], vision=dict(local=local), lora=lora),
        class_names=NAMES,
        prompt=(PROMPTS | {'class-weights': CLASS_WEIGHTS})[prompt],
        alignment=ALIGNMENTS[alignment] | MARGINALS[marginals],
        visual=VISUALS[visual],
        trainable=trainable + (['visual.*'] if visual != 'none' else []),
    )


def head_classifier(tuner: str, head: str, trunk: str, loss: dict | None = None) -> HeadClassifier:
    tuned = {'linear-probe': [], 'fine-tuning': ['visual.*']}.get(tuner, ['tuner.*'])
    model = HeadClassifier(
        head=HEADS[head],
        loss=loss or dict(type='vlprompt.LogitAdjustedLoss'),
        trainable=['head.*', *tuned],
        class_names=NAMES,
        tuner=TUNERS[tuner],
        **TRUNKS[trunk],
    )
    model.set_class_counts([20, 7, 3])
    return model


NOT_LORA = 'visual.*[!AB]'
"""Everything in an image tower that is no branch, whose parameters are named A and B."""


def segmentor(
    base, prompting: str, tower: str, local: str = 'native', lora: dict | None = None, frozen: Sequence[str] = ()
) -> torch.nn.Module:
    from vlprompt.models.segmentors import DenseCLIP  # with mmseg, whose import takes seconds

    return DenseCLIP(
        backbone=dict(
            type='vlprompt.TextGuidedBackbone',
            clip=dict(base[tower], vision=dict(interpolation='bilinear', local=local), lora=lora),
            trunk=dict(type='vlprompt.ClipTrunk', joint=True),
            matching=dict(
                prompt=dict(type='vlprompt.ContextPrompt', n_ctx=3, ending=''),
                context_decoder=dict(type='vlprompt.ContextDecoder', width=16, heads=2, layers=1),
                prompting=prompting,
            ),
            score_concat=dict(stage=3),
        ),
        class_names=NAMES,
        pixel_text_loss=dict(type='vlprompt.PixelTextLoss'),
        decode_head=dict(
            type='FPNHead',
            in_index=[0, 1, 2, 3],
            feature_strides=[4, 8, 16, 32],
            channels=16,
            norm_cfg=dict(type='BN'),
            loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
        ),
        frozen=['backbone.matching.text.*[!AB]', *frozen],
        data_preprocessor=dict(type='SegDataPreProcessor'),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )


def reidentifier(base, tower: str, lora: dict | None = None, frozen: Sequence[str] = ()) -> ReIdentifier:
    model = ReIdentifier(dict(base[tower], vision=VISION[tower], lora=lora), num_ids=3, frozen=frozen)
    model.prototypes.copy_(torch.linspace(-1, 1, model.prototypes.numel()).view_as(model.prototypes))  # of phase 1
    return model


def prompt_learner(base, tower: str) -> IdentityPromptLearner:
    return IdentityPromptLearner(dict(base[tower], vision=VISION[tower]), num_ids=3, noun='person')


def samples() -> list[ClassificationSample]:
    return [ClassificationSample().set_gt_label(label) for label in LABELS]


def masks() -> list:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    return [SegDataSample(gt_sem_seg=PixelData(data=torch.full((1, 64, 64), label))) for label in LABELS]


def people() -> list[ReIDSample]:
    return [ReIDSample(pid=label, camid=0, viewid=0).set_gt_label(label) for label in LABELS]


def scores(model, images):
    return torch.stack([sample.pred_score for sample in model(images, samples(), mode='predict')])


def descriptors(model, images):
    return torch.stack([sample.feature for sample in model(images, people(), mode='predict')])


def trained(model) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def perturb(model) -> None:
    """Random steps, so that whatever starts at zero has an effect."""
    for parameter in trained(model).values():
        parameter.add_(0.05 * torch.randn(parameter.shape))


def check(build, tmp_path, predict=scores, targets=samples, encode=lambda model, images: images) -> None:
    """The life of a model, from its loss to predictions after loading.

    Args:
        build: makes the model.
        tmp_path: folder for its checkpoint.
        predict: model and images -> a tensor that must survive saving and loading.
        targets: makes the data samples (or labels) of the loss.
        encode: model and images -> what the loss takes in place of the images.
    """
    torch.manual_seed(0)
    images = torch.randn(4, 3, 64, 64)
    model = build().train()
    perturb(model)
    losses = model(encode(model, images), targets(), mode='loss')
    loss = sum(value for name, value in losses.items() if 'loss' in name)
    assert loss.isfinite()
    if trained(model):
        loss.backward()
    gradients = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert gradients == set(trained(model)), 'all that is trained, and nothing else'

    write_checkpoint(dict(meta=dict(vlprompt=describe_model(model)), state_dict=trained_state(model)), tmp_path / 'a')
    other = build()
    if model.base_source is not None:
        assert set(trained_state(model)) >= set(trained(model))
        frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
        assert not [name for name in frozen & set(trained_state(model)) if name.startswith(model.base_prefixes)]
    with torch.no_grad():
        expected = predict(model.eval(), images)
        if trained(model):
            assert not torch.equal(predict(other.eval(), images), expected)
        load_trained(other, read_checkpoint(tmp_path / 'a'))
        assert torch.equal(predict(other.eval(), images), expected)


@pytest.mark.parametrize('row', TEXT_ROWS, ids='-'.join)
def test_text_classifier(row, base, tmp_path):
    check(lambda: text_classifier(base, *row), tmp_path)


@pytest.mark.parametrize('row', REGULATED_ROWS, ids='-'.join)
def test_self_regulated_classifier(row, base, tmp_path):
    build = partial(SelfRegulatedClassifier, teacher=PROMPTS['templates'])
    check(lambda: text_classifier(base, *row, build=build), tmp_path)


@pytest.mark.parametrize('row', LORA_ROWS, ids='-'.join)
def test_text_classifier_with_lora(row, base, tmp_path):
    """In one tower or both; no base weight is trained, and none is in the checkpoint."""
    *parts, lora = row
    check(lambda: text_classifier(base, *parts, lora=LORAS[lora], tuned=['clip.*.lora.*']), tmp_path)


@pytest.mark.parametrize('tuned', TUNED)
@pytest.mark.parametrize('prompt', ['templates', 'context'])
def test_text_classifier_with_tuned_towers(tuned, prompt, base, tmp_path):
    lora = LORA if tuned == 'lora' else None
    check(lambda: text_classifier(base, prompt, 'cosine', 'vit', 'none', lora=lora, tuned=[TUNED[tuned]]), tmp_path)


@pytest.mark.parametrize('alignment', ['cosine', 'vote', 'transport'])
@pytest.mark.parametrize('tower', TOWERS)
def test_class_weights(alignment, tower, base, tmp_path):
    """Learned instead of text features; they have started, as after the first step of a training."""

    def build():
        model = text_classifier(base, 'class-weights', alignment, tower, 'none')
        model.freeze(['prompt.weight'])
        model.train().text_features()
        return model

    check(build, tmp_path)


@pytest.mark.parametrize('tuner', ['linear-probe', 'vpt-deep', 'adapter'])
def test_head_classifier_with_lora(tuner, base, tmp_path):
    def build():
        return HeadClassifier(
            clip=dict(base['vit'], lora=dict(LORA, towers=['visual'])),
            head=HEADS['linear'],
            loss=dict(type='vlprompt.LogitAdjustedLoss'),
            trainable=['head.*', 'visual.*.lora.*', *([] if tuner == 'linear-probe' else ['tuner.*'])],
            class_names=NAMES,
            tuner=TUNERS[tuner],
        )

    def with_counts():
        model = build()
        model.set_class_counts([20, 7, 3])
        return model

    check(with_counts, tmp_path)


def test_segmentor_with_lora(base, tmp_path):
    """In the trunk and in the text tower."""

    def build():
        return segmentor(base, 'post', 'vit-of-four-blocks', lora=LORA, frozen=[f'backbone.trunk.{NOT_LORA}'])

    with DefaultScope.overwrite_default_scope('mmseg'):
        check(build, tmp_path, lambda model, images: model.score_map(images), masks)


def test_reidentifier_with_lora(base, tmp_path):
    lora = dict(LORA, towers=['visual'])
    check(lambda: reidentifier(base, 'vit', lora, [NOT_LORA]), tmp_path, descriptors, people)


@pytest.mark.parametrize(
    'build',
    [
        lambda clip: ReIdentifier(clip, num_ids=3),
        lambda clip: ClipTrunk(clip),
        lambda clip: HeadClassifier(
            clip=clip,
            head=HEADS['linear'],
            loss=dict(type='vlprompt.AGCLLoss'),
            trainable=['head.*'],
            class_names=NAMES,
        ),
    ],
    ids=['people', 'trunk', 'head'],
)
def test_lora_in_a_text_tower_that_is_not_there(build, base):
    with pytest.raises(ValueError, match=r"clip.lora.towers has 'text', but .* set towers=\['visual'\]"):
        build(dict(base['vit'], lora={}))


@pytest.mark.parametrize('row', LOCAL_ROWS, ids='-'.join)
def test_text_classifier_on_other_local_features(row, base, tmp_path):
    check(lambda: text_classifier(base, 'contexts', *row), tmp_path)


@pytest.mark.parametrize('row', HEAD_ROWS, ids='-'.join)
def test_head_classifier(row, tmp_path):
    check(lambda: head_classifier(*row), tmp_path)


@pytest.mark.parametrize('row', DUAL_STREAM_ROWS, ids='-'.join)
def test_head_classifier_of_two_streams(row, tmp_path):
    check(lambda: head_classifier(*row, loss=DUAL_STREAMS), tmp_path)


@pytest.mark.parametrize('row', DENSE_ROWS, ids='-'.join)
def test_segmentor(row, base, tmp_path):
    with DefaultScope.overwrite_default_scope('mmseg'):
        check(lambda: segmentor(base, *row), tmp_path, lambda model, images: model.score_map(images), masks)


@pytest.mark.parametrize('row', DENSE_LOCAL_ROWS, ids='-'.join)
def test_segmentor_on_other_local_features(row, base, tmp_path):
    with DefaultScope.overwrite_default_scope('mmseg'):
        images = torch.randn(2, 3, 64, 64)
        native, other = segmentor(base, 'post', row[0]), segmentor(base, 'post', *row)
        other.load_state_dict(native.state_dict())
        with torch.no_grad():
            assert (native.eval().score_map(images) - other.eval().score_map(images)).abs().max() > 1e-3
        check(lambda: segmentor(base, 'post', *row), tmp_path, lambda model, images: model.score_map(images), masks)


@pytest.mark.parametrize('tower', TOWERS)
def test_reidentifier(tower, base, tmp_path):
    check(lambda: reidentifier(base, tower), tmp_path, descriptors, people)


@pytest.mark.parametrize('tower', TOWERS)
def test_identity_prompt_learner(tower, base, tmp_path):
    check(
        lambda: prompt_learner(base, tower),
        tmp_path,
        predict=lambda model, images: model.text_prototypes(),
        targets=lambda: torch.tensor(LABELS),
        encode=lambda model, images: model(images, mode='tensor'),
    )


@pytest.mark.parametrize('row', [row for row in TEXT_ROWS if row[1:3] == ('transport', 'vit')], ids='-'.join)
def test_text_classifier_under_autocast(row, base):
    under_autocast(lambda: text_classifier(base, *row))


@pytest.mark.parametrize(
    'row', [row for row in LOCAL_ROWS if row[0] == 'transport' and row[2] != 'shallow'], ids='-'.join
)
def test_other_local_features_under_autocast(row, base):
    under_autocast(lambda: text_classifier(base, 'contexts', *row))


def under_autocast(build) -> None:
    """Towers in bf16, alignment and loss in fp32; parameters and their gradients stay fp32."""
    torch.manual_seed(0)
    images, model = torch.randn(4, 3, 64, 64), build().train()
    exact = model(images, samples(), mode='loss')['loss_cls']
    with torch.autocast('cpu', dtype=torch.bfloat16):
        rough = model(images, samples(), mode='loss')['loss_cls']
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=0, rtol=0.05)
    if trained(model):
        rough.backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in trained(model).values())


IMPOSSIBLE = {
    'visual prompts in a ResNet': (
        ('context', 'cosine', 'rn', 'deep'),
        'need a vision transformer, not a ResNet',
    ),
    'visual tokens of fixed words': (('templates', 'cosine', 'vit', 'coupled'), 'ContextPrompt with n_prompts=1'),
    'visual tokens of two contexts': (('contexts', 'cosine', 'vit', 'coupled'), 'ContextPrompt with n_prompts=1'),
    'visual tokens of classes': (('class-specific', 'cosine', 'vit', 'coupled'), 'class_specific=False'),
}


@pytest.mark.parametrize('case', IMPOSSIBLE)
def test_what_does_not_belong_together(case, base):
    row, message = IMPOSSIBLE[case]
    assert not belong(*row)
    with pytest.raises(ValueError, match=message):
        text_classifier(base, *row)


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        (dict(tuner=dict(TUNERS['vpt-deep'], prompt=VISUALS['coupled'])), 'belong to a TextClassifier'),
        (dict(tuner=dict(TUNERS['vpt-deep'], prompt=VISUALS['sets'])), 'belong to a TextClassifier'),
        (dict(tuner=dict(TUNERS['pool'], prompt=dict(SHARED, depth=1))), 'shared prompts in every block'),
        (dict(clip=dict(arch=MICRO['rn'])), 'custom is a ResNet'),
        (TRUNKS['timm'], 'either clip=dict'),
    ],
    ids=['coupled', 'sets', 'groups beside shallow prompts', 'ResNet', 'two trunks'],
)
def test_what_does_not_belong_in_a_head_classifier(parts, message):
    arguments = dict(TRUNKS['clip'], head=HEADS['linear'], loss=dict(type='vlprompt.AGCLLoss'), trainable=['head.*'])
    with pytest.raises(ValueError, match=message):
        HeadClassifier(**{**arguments, 'class_names': NAMES, **parts})


UNREAD = {
    'cosine': lambda base: text_classifier(base, 'context', 'cosine', 'vit', 'none', 'naclip'),
    'sets': lambda base: text_classifier(base, 'contexts', 'transport', 'vit', 'sets', 'naclip'),
    'head': lambda base: HeadClassifier(
        head=HEADS['linear'],
        loss=dict(type='vlprompt.AGCLLoss'),
        trainable=['head.*'],
        class_names=NAMES,
        clip=with_form(base, 'vit', 'naclip'),
    ),
    'people': lambda base: ReIdentifier(with_form(base, 'rn', 'value'), num_ids=3),
    'identities': lambda base: IdentityPromptLearner(with_form(base, 'vit', 'kk'), num_ids=3, noun='person'),
    'plain trunk': lambda base: ClipTrunk(with_form(base, 'rn', 'value')),
    "another trunk's pool": lambda base: AttentionPooledTrunk(
        dict(type='vlprompt.ClipTrunk', clip=base['rn']), build_clip(**with_form(base, 'rn', 'value'))
    ),
}


def with_form(base, tower: str, local: str) -> dict:
    return dict(base[tower], vision=dict(local=local))


@pytest.mark.parametrize('case', UNREAD)
def test_forms_of_local_features_that_nothing_reads(case, base):
    with pytest.raises(ValueError, match=r'clip\.vision\.local=.* has no effect: .*Leave it out'):
        UNREAD[case](base)


def test_places_of_sets_have_no_saliency(base):
    with pytest.raises(ValueError, match=r"visual\.sets=3 .* which have no marginals='class_token'"):
        text_classifier(base, 'contexts', 'transport', 'vit', 'sets', 'native', 'class-token')


def test_local_alignment_without_local_tokens(base):
    model = text_classifier(base, 'context', 'transport', 'vit', 'none')
    features = model.clip.encode_image(torch.randn(1, 3, 64, 64), local=False, maps=False)
    with pytest.raises(ValueError, match='TransportAlignment needs local tokens'):
        model.alignment(features, model.text_features(), torch.tensor(1.0))
