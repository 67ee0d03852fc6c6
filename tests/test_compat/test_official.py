"""Official checkpoints: fabricated with the keys of the real ones, converted by the tool, loaded, compared."""

import sys
from collections import OrderedDict

import pytest
import torch
from mmengine.registry import DefaultScope

from tests.conftest import MICRO, ROOT, run_tool
from tools.model_converters import official as converter_tool
from vlprompt.apis import init_model
from vlprompt.clip import build_clip
from vlprompt.clip.weights import to_openai_names
from vlprompt.compat.official import CONVERTERS, convert, describe
from vlprompt.errors import CheckpointError

NAMES = ['face', 'sea_lion', 'okapi']
WIDTH, N_CTX, TAIL = 32, 16, 60


def official(context, rows):
    """A checkpoint as Dassl writes it, with a live scheduler pickled beside the tensors."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=2e-3)
    return dict(
        state_dict=OrderedDict(
            ctx=context, token_prefix=torch.zeros(rows, 1, WIDTH), token_suffix=torch.zeros(rows, TAIL, WIDTH)
        ),
        epoch=200,
        optimizer=optimizer.state_dict(),
        scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200),
        val_result=None,
    )


CASES = {
    'coop': ('coop/coop_rn50.py', (N_CTX, WIDTH), 3),
    'coop-csc': ('coop/coop_rn50_csc.py', (3, N_CTX, WIDTH), 3),
    'plot': ('plot/plot_rn50.py', (4, N_CTX, WIDTH), 12),
}


@pytest.mark.parametrize('case', CASES)
def test_round_trip(case, tmp_path, micro_rn):
    config, shape, rows = CASES[case]
    context = torch.randn(shape).half()
    torch.save(official(context, rows), tmp_path / 'src')
    run_tool(converter_tool.main, case.split('-')[0], tmp_path / 'src', tmp_path / 'dst.pth')
    torch.save(to_openai_names(build_clip(arch=micro_rn).state_dict()), tmp_path / 'base.pt')
    options = {
        'model.clip': dict(_delete_=True, arch=micro_rn, weights=str(tmp_path / 'base.pt')),
        'model.class_names': NAMES,
    }
    model = init_model(ROOT / 'configs' / config, tmp_path / 'dst.pth', options)
    assert torch.equal(model.prompt.context.reshape(shape), context.float())
    options['model.clip']['weights'] = None  # loads as well, onto random towers, and the log says so
    assert torch.equal(
        init_model(ROOT / 'configs' / config, tmp_path / 'dst.pth', options).prompt.context, model.prompt.context
    )
    with torch.no_grad():
        assert model(torch.randn(2, 3, 64, 64), mode='tensor').shape == (2, 3)


def official_cocoop():
    """The prompt learner of CoCoOp with 4 vectors, on towers of width 32 and a joint space of 24."""
    shapes = {'linear1.weight': (1, 24), 'linear1.bias': (1,), 'linear2.weight': (WIDTH, 1), 'linear2.bias': (WIDTH,)}
    checkpoint = official(torch.randn(4, WIDTH).half(), 3)
    checkpoint['state_dict'] |= {f'meta_net.{name}': torch.randn(shape).half() for name, shape in shapes.items()}
    return checkpoint


def official_maple(depth=2):
    """MaPLe saves the whole model; deep prompts and their projections are in full precision, the others are not."""
    state = official(torch.randn(2, WIDTH).half(), 3)['state_dict']
    state |= {'proj.weight': torch.randn(64, WIDTH).half(), 'proj.bias': torch.randn(64).half()}
    for index in range(depth - 1):
        state[f'compound_prompts_text.{index}'] = torch.randn(2, WIDTH)
        state[f'compound_prompt_projections.{index}.weight'] = torch.randn(64, WIDTH)
        state[f'compound_prompt_projections.{index}.bias'] = torch.randn(64)
    state = {f'prompt_learner.{name}': tensor for name, tensor in state.items()}
    copies = {'image_encoder.conv1.weight': torch.zeros(1), 'text_encoder.positional_embedding': torch.zeros(1)}
    return dict(state_dict=state | copies | {'logit_scale': torch.zeros(())}, epoch=5)


@pytest.mark.parametrize(
    ('method', 'checkpoint', 'options'),
    [('cocoop', official_cocoop(), {}), ('maple', official_maple(), {'model.prompt.depth': 2})],
    ids=['cocoop', 'maple'],
)
def test_round_trip_with_layers_beside_the_context(method, checkpoint, options, tmp_path):
    torch.save(checkpoint, tmp_path / 'src')
    run_tool(converter_tool.main, method, tmp_path / 'src', tmp_path / 'dst.pth')
    options = options | {'model.clip': dict(_delete_=True, arch=MICRO['vit']), 'model.class_names': NAMES}
    config = ROOT / f'configs/{method}/{method}_vit-b16.py'
    model = init_model(config, tmp_path / 'dst.pth', options)
    state = {name.removeprefix('prompt_learner.'): t for name, t in checkpoint['state_dict'].items()}
    assert torch.equal(model.prompt.context[0], state['ctx'].float())
    if method == 'cocoop':
        for name, parameter in model.prompt.meta_net.named_parameters():
            assert torch.equal(parameter, state[f'meta_net.{name}'].float())
    else:
        assert torch.equal(model.prompt.deep[0, 0], state['compound_prompts_text.0'])
        assert torch.equal(model.visual.projections[0].weight, state['proj.weight'].float())
        assert torch.equal(model.visual.projections[1].bias, state['compound_prompt_projections.0.bias'])
    with torch.no_grad():
        assert model(torch.randn(2, 3, 64, 64), mode='tensor').shape == (2, 3)


def official_independent(method):
    """The whole model of the MaPLe repository with prompts in three blocks of both towers, that of ``method`` alone, in
    an order that is not that of the blocks."""
    state = official(torch.randn(2, WIDTH).half(), 3)['state_dict']
    state = {f'prompt_learner.{name}': tensor for name, tensor in state.items()}
    for tower, width in (('text_encoder', WIDTH), ('image_encoder', 64)):
        for block in (2, 1):
            state[f'{tower}.transformer.resblocks.{block}.VPT_shallow'] = torch.randn(2, width)
        state[f'{tower}.conv1.weight'] = torch.zeros(1)
    state['image_encoder.VPT'] = torch.randn(2, 64)
    if method == 'promptsrc':
        state['prompt_learner.ZS_image_encoder.conv1.weight'] = torch.zeros(1)
    if method == 'vpt-clip':
        state = {name: tensor for name, tensor in state.items() if name.startswith('image_encoder')}
    if method == 'language':
        state = {name: tensor for name, tensor in state.items() if not name.startswith('image_encoder')}
    return dict(state_dict=state, epoch=5)


@pytest.mark.parametrize(
    ('method', 'config', 'kind'),
    [
        ('ivlp', 'ivlp_vit-b16', 'ivlp'),
        ('ivlp', 'language-deep_vit-b16', 'language'),
        ('vpt-clip', 'vpt-deep_vit-b16', 'vpt-clip'),
        ('promptsrc', 'ivlp_vit-b16', 'promptsrc'),
    ],
)
def test_round_trip_of_independent_prompts(method, config, kind, tmp_path):
    checkpoint = official_independent(kind)
    torch.save(checkpoint, tmp_path / 'src')
    run_tool(converter_tool.main, method, tmp_path / 'src', tmp_path / 'dst.pth')
    text, visual = kind != 'vpt-clip', kind != 'language'
    options = {'model.clip': dict(_delete_=True, arch=dict(MICRO['vit'], transformer_layers=3, vision_layers=3))}
    options |= {'model.class_names': NAMES} | ({'model.prompt.depth': 3, 'model.prompt.n_ctx': 2} if text else {})
    options |= {'model.visual.depth': 3, 'model.visual.length': 2} if visual else {}
    model = init_model(ROOT / f'configs/ivlp/{config}.py', tmp_path / 'dst.pth', options)
    state = checkpoint['state_dict']
    if text:
        assert torch.equal(model.prompt.context[0], state['prompt_learner.ctx'].float())
        expected = [state[f'text_encoder.transformer.resblocks.{block}.VPT_shallow'] for block in (1, 2)]
        assert torch.equal(model.prompt.deep[:, 0], torch.stack(expected))
    if visual:
        names = ['VPT', *(f'transformer.resblocks.{block}.VPT_shallow' for block in (1, 2))]
        assert torch.equal(model.visual.tokens, torch.stack([state[f'image_encoder.{name}'] for name in names]))


def test_plotpp_round_trip(tmp_path):
    learned = {'ctx': torch.randn(4, 4, WIDTH), 'ctx_vision': torch.randn(4, 2, 64), 'token_prefix': torch.zeros(1)}
    torch.save(dict(state_dict={f'prompt_learner.{k}': v for k, v in learned.items()}), tmp_path / 'src')
    run_tool(converter_tool.main, 'plotpp', tmp_path / 'src', tmp_path / 'dst.pth')
    options = {'model.clip': dict(_delete_=True, arch=MICRO['vit']), 'model.class_names': NAMES}
    model = init_model(ROOT / 'configs/plotpp/plotpp_vit-b16.py', tmp_path / 'dst.pth', options)
    assert torch.equal(model.prompt.context, learned['ctx'])
    assert torch.equal(model.visual.tokens[0], learned['ctx_vision'])


def test_what_would_not_be_read_is_named():
    cocoop, maple = official_cocoop(), official_maple()
    for method in ('coop', 'plot', 'maple'):
        with pytest.raises(ValueError, match=rf'{method}: 4 learned tensors .*meta_net\.linear1\.bias.*"cocoop"'):
            convert(method, cocoop)
    for method in ('coop', 'plot', 'cocoop'):
        with pytest.raises(ValueError, match=rf'{method}: 5 learned .*compound_prompts_text\.0.*"maple"'):
            convert(method, maple)
    for method, missing in (('cocoop', 'meta_net.linear1.bias'), ('maple', 'proj.bias')):
        for ctx, rows in ((torch.zeros(N_CTX, WIDTH), 3), (torch.zeros(4, N_CTX, WIDTH), 12)):
            with pytest.raises(KeyError, match=f'{method}: the checkpoint has no .*{missing}'):
                convert(method, official(ctx, rows))
    learned = {'prompt_learner.ctx': torch.zeros(2, WIDTH), 'image_encoder.VPT': torch.zeros(2, 64)}
    with pytest.raises(ValueError, match=r'image_encoder\.VPT; this is a checkpoint of "ivlp"'):
        convert('coop', learned)
    with pytest.raises(ValueError, match='ctx_vision; this is a checkpoint of "plotpp"'):
        convert('plot', {'prompt_learner.ctx': torch.zeros(4, 4, 8), 'prompt_learner.ctx_vision': torch.zeros(4, 2, 8)})

    for method, found in (('vpt-clip', 'ivlp'), ('ivlp', 'vpt-clip')):
        with pytest.raises((KeyError, ValueError), match=rf'{method}: .*ctx'):
            convert(method, official_independent(found))
    with pytest.raises(KeyError, match=r'vpt-clip: the checkpoint has no image_encoder\.VPT'):
        convert('vpt-clip', {'conv1.weight': torch.zeros(1)})


def test_the_wrong_method_is_named():
    with pytest.raises(ValueError, match='"plot"'):
        convert('coop', official(torch.zeros(4, N_CTX, WIDTH), 12))
    with pytest.raises(ValueError, match='"coop"'):
        convert('plot', official(torch.zeros(N_CTX, WIDTH), 3))
    with pytest.raises(KeyError, match='conv1'):
        convert('coop', {'conv1.weight': torch.zeros(1)})
    with pytest.raises(KeyError, match=r'coop, .*plot'):
        convert('tip', {})


def official_denseclip(model):
    """The state dict that the official code writes for a model of this shape, in its names."""
    names = [
        ('backbone.matching.prompt.context', 'contexts'),
        ('backbone.matching.gamma', 'gamma'),
        ('backbone.matching.text.', 'text_encoder.'),
        ('backbone.matching.context_decoder.', 'context_decoder.'),
        ('backbone.trunk.visual.', 'backbone.'),
        ('backbone.trunk.pyramid.', 'backbone.'),
    ]
    state = {}
    for key, value in model.state_dict().items():
        for ours, theirs in names:
            if key.startswith(ours):
                key = theirs + key.removeprefix(ours)
                break
        state[key] = torch.randn_like(value) if value.is_floating_point() else value
    return state


@pytest.mark.parametrize('kind', ['rn', 'vit'])
def test_denseclip_round_trip(kind, tmp_path):
    name = {'rn': 'denseclip_r50_fpn_80k_ade20k-512x512', 'vit': 'denseclip_vit-b16_fpn_official_80k_ade20k-640x640'}[
        kind
    ]
    clip = {
        'model.backbone.clip.arch': dict(MICRO[kind], _delete_=True),
        'model.backbone.clip.weights': None,
        'model.backbone.clip.image_size': 64,
    }
    if kind == 'vit':
        clip |= {'model.backbone.clip.arch.vision_layers': 4, 'model.backbone.clip.vision.out_indices': (0, 1, 2, 3)}
    options = {**clip, 'model.class_names': NAMES, 'model.neck.out_channels': 16, 'model.decode_head.channels': 16}
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = init_model(ROOT / f'configs/denseclip/{name}.py', cfg_options=options)
        state = official_denseclip(model)
        torch.save(dict(meta=dict(CLASSES=NAMES), state_dict=state), tmp_path / 'src')
        run_tool(converter_tool.main, 'denseclip-seg', tmp_path / 'src', tmp_path / 'dst.pth')
        model = init_model(ROOT / f'configs/denseclip/{name}.py', tmp_path / 'dst.pth', options)
        matching = model.backbone.matching
        assert torch.equal(matching.prompt.context, state['contexts'])
        assert torch.equal(
            model.backbone.matching.text.positional_embedding, state['text_encoder.positional_embedding']
        )
        assert torch.equal(model.backbone.trunk.visual.conv1.weight, state['backbone.conv1.weight'])
        if kind == 'vit':
            assert torch.equal(model.backbone.trunk.pyramid.fpn4[0].weight, state['backbone.fpn4.0.weight'])
        with torch.no_grad():
            assert model(torch.randn(1, 3, 64, 64), mode='tensor').shape == (1, 3, 16, 16)


@pytest.mark.parametrize('kind', ['retinanet', 'mask-rcnn'])
def test_denseclip_detection_round_trip(kind, tmp_path):
    """The official layout: every tensor of the shipped model finds its place, and the result loads and runs."""
    config = ROOT / f'configs/denseclip_det/{kind}_denseclip-r50_fpn_official_1x_coco.py'
    options = {
        'model.backbone.clip.arch': dict(MICRO['rn'], _delete_=True),
        'model.backbone.clip.weights': None,
        'model.backbone.clip.image_size': 96,
        'model.class_names': NAMES,
        'model.neck.out_channels': 16,
    }
    if kind == 'retinanet':
        options['model.bbox_head.feat_channels'] = 16
        expected = {'bbox_head.cls_convs.3.conv.weight', 'bbox_head.retina_cls.weight', 'neck.fpn_convs.3.conv.weight'}
    else:
        options |= {'model.rpn_head.feat_channels': 16, 'model.roi_head.bbox_head.fc_out_channels': 16}
        options['model.roi_head.mask_head.conv_out_channels'] = 16
        expected = {f'roi_head.bbox_head.{name}.weight' for name in ('shared_fcs.0', 'fc_cls', 'fc_reg')}
        expected |= {'rpn_head.rpn_conv.weight', 'rpn_head.rpn_reg.weight', 'roi_head.mask_head.upsample.weight'}
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = init_model(config, cfg_options=options)
        state = official_denseclip(model)
        assert expected <= set(state)
        torch.save(dict(meta=dict(CLASSES=NAMES), state_dict=state), tmp_path / 'src')
        run_tool(converter_tool.main, 'denseclip-det', tmp_path / 'src', tmp_path / 'dst.pth')
        model = init_model(config, tmp_path / 'dst.pth', options)
        matching = model.backbone.matching
        assert torch.equal(matching.prompt.context, state['contexts'])
        assert torch.equal(matching.gamma, state['gamma'])
        assert torch.equal(
            model.backbone.matching.text.positional_embedding, state['text_encoder.positional_embedding']
        )
        assert model.backbone.trunk.visual.attnpool.positional_embedding.shape[0] == 3 * 3 + 1
        for name in expected:
            assert torch.equal(model.state_dict()[name], state[name]), name


def test_other_dense_checkpoints_are_named():
    common = {'contexts': torch.zeros(1, 8, 4), 'gamma': torch.zeros(4)}
    common['text_encoder.token_embedding.weight'] = torch.zeros(2, 4)
    with pytest.raises(ValueError, match='"denseclip-det"'):
        convert('denseclip-seg', {**common, 'bbox_head.retina_cls.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match='"denseclip-seg"'):
        convert('denseclip-det', {**common, 'decode_head.conv_seg.weight': torch.zeros(1)})
    with pytest.raises(KeyError, match='is it of a detector'):
        convert('denseclip-det', common)
    pool = {'backbone.attnpool.positional_embedding': torch.zeros(1764, 2)}
    with pytest.raises(ValueError, match='1764 rows'):
        convert('denseclip-det', {**common, **pool, 'rpn_head.rpn_cls.weight': torch.zeros(1)})


def test_other_segmentation_checkpoints_are_named():
    with pytest.raises(KeyError, match='contexts'):
        convert('denseclip-seg', {'backbone.conv1.weight': torch.zeros(1)})


WRONG = {
    'class-specific CoOp as PLOT': ('plot', official(torch.zeros(3, N_CTX, WIDTH), 3), 'class-specific .*"coop"'),
    'CLIP-ReID with a module more': (
        'clip-reid',
        {name: torch.zeros(2) for name in ('classifier.weight', 'adapter.weight')}
        | {'classifier_proj.weight': torch.zeros(2), 'bottleneck.weight': torch.zeros(2)}
        | {'image_encoder.conv1.weight': torch.zeros(2), 'image_encoder.positional_embedding': torch.zeros(2)},
        r'1 learned tensors .*adapter\.weight',
    ),
    'CLIP-ReID without a tower': (
        'clip-reid',
        {f'{name}.weight': torch.zeros(2) for name in ('classifier', 'classifier_proj', 'bottleneck')},
        r'no image_encoder\.conv1\.weight, image_encoder\.positional_embedding',
    ),
    'CLIP-ReID prompts without a text tower': (
        'clip-reid-prompts',
        {f'prompt_learner.{name}': torch.zeros(2, 1, 8) for name in ('cls_ctx', 'token_prefix', 'token_suffix')},
        r'no text_encoder\.positional_embedding',
    ),
    'LPT with a parameter more': (
        'lpt',
        {f'prompt_learner.{name}': torch.zeros(2, 2) for name in ('Prompt_Tokens', 'head.weight', 'scale')},
        r'prompt_learner\.scale',
    ),
    'VPT with a head of several layers': (
        'vpt',
        {'enc.transformer.prompt_embeddings': torch.zeros(1, 2, 4)}
        | {f'head.{layer}.{part}': torch.zeros(2) for layer in (0, 2) for part in ('weight', 'bias')},
        r'head\.0\.bias.*head of several layers',
    ),
    'VPT with a side network': (
        'vpt',
        {'shallow_prompt': torch.zeros(1, 2, 4), 'side.conv1.weight': torch.zeros(1)},
        r'side\.conv1\.weight',
    ),
    'a value that is not finite': ('coop', {'ctx': torch.full((4, 8), torch.nan)}, r'NaN or infinity \(ctx\)'),
    'no tensors': ('coop', dict(state_dict={}), 'holds no state dict'),
    'a whole model': ('coop', dict(state_dict={'ctx': 'text', 'a': torch.zeros(1)}), "'ctx' is no tensor but a str"),
}


@pytest.mark.parametrize('case', WRONG)
def test_nothing_learned_is_dropped(case):
    method, content, message = WRONG[case]
    with pytest.raises((KeyError, ValueError), match=message):
        convert(method, content)


def official_clip_lora(**metadata):
    """Both micro towers of two blocks as CLIP-LoRA saves them: layers of the text tower first, q, k, v and output."""

    def layer(width):
        names = ('q_proj', 'k_proj', 'v_proj', 'proj')
        return {n: dict(w_lora_A=torch.randn(2, width), w_lora_B=torch.randn(width, 2)) for n in names}

    weights = {f'layer_{i}': layer(WIDTH if i < 2 else 64) for i in range(4)}
    about = dict(r=2, alpha=1, encoder='both', params=['q', 'k', 'v', 'o'], position='all')
    return dict(weights=weights, metadata=about | metadata)


def test_clip_lora(tmp_path):
    content = official_clip_lora()
    torch.save(content, tmp_path / 'lora_weights.pt')
    shown = run_tool(converter_tool.main, 'clip-lora', tmp_path / 'lora_weights.pt', tmp_path / 'ours.pth')
    assert 'lora_scale: 0.7071' in shown
    torch.save(to_openai_names(build_clip(arch=MICRO['vit']).state_dict()), tmp_path / 'base.pt')
    lora = dict(targets=['q', 'k', 'v', 'out'])
    options = {
        'model.clip': dict(_delete_=True, arch=MICRO['vit'], weights=str(tmp_path / 'base.pt'), lora=lora),
        'model.class_names': NAMES,
    }
    config = ROOT / 'configs/clip_lora/clip-lora_vit-b16.py'
    model = init_model(config, tmp_path / 'ours.pth', options)
    text, visual = model.clip.text.transformer.resblocks, model.clip.visual.transformer.resblocks
    for layer, block in enumerate([*text, *visual]):
        theirs = content['weights'][f'layer_{layer}']
        assert torch.equal(block.attn.lora['k'].A, theirs['k_proj']['w_lora_A'])
        assert torch.equal(block.attn.lora['v'].B, theirs['v_proj']['w_lora_B'])
        assert torch.equal(block.attn.out_proj.lora.B, theirs['proj']['w_lora_B'])
    options['model.clip']['lora'] = lora | dict(alpha=2)
    with pytest.raises(CheckpointError, match=r'multiplied by 0\.707107, the model multiplies them by 1\.41421'):
        init_model(config, tmp_path / 'ours.pth', options)


def test_branches_of_clip_lora_in_some_blocks_only():
    with pytest.raises(ValueError, match="position='half-up'; only"):
        describe('clip-lora', official_clip_lora(position='half-up'))
    one_tower = official_clip_lora()
    del one_tower['weights']['layer_2'], one_tower['weights']['layer_3']
    with pytest.raises(ValueError, match='all 2 layers have the width 32, so only one tower'):
        convert('clip-lora', one_tower)
    one_tower['weights']['layer_7'] = one_tower['weights'].pop('layer_1')
    with pytest.raises(ValueError, match=r'numbered \[0, 7\], not 0 to 1'):
        convert('clip-lora', one_tower)


@pytest.mark.parametrize('method', sorted(CONVERTERS))
def test_a_file_of_another_method_is_one_line_with_its_name(method, tmp_path, monkeypatch, capsys):
    """Any file given to any converter, whatever is wrong with its shapes."""
    others = [official(torch.zeros(4, N_CTX, WIDTH), 12), official_cocoop(), official_maple()]
    others += [content if 'state_dict' in content else dict(state_dict=content) for _, content, _ in WRONG.values()]
    messages = {}
    for number, content in enumerate(others):
        torch.save(content, tmp_path / f'{number}.pth')
        monkeypatch.setattr(
            sys, 'argv', ['official.py', method, str(tmp_path / f'{number}.pth'), str(tmp_path / 'out')]
        )
        try:
            converter_tool.main()
        except CheckpointError as error:
            messages[number] = str(error)
    assert len(messages) >= len(others) - 1
    assert all(f'{number}.pth' in message for number, message in messages.items())
    capsys.readouterr()


def test_viewpoints_of_side_information_are_an_option():
    state = {'classifier.weight': torch.zeros(7, 4), 'cv_embed': torch.zeros(18, 4)}
    state |= {
        'image_encoder.conv1.weight': torch.zeros(4, 3, 16, 16),
        'image_encoder.positional_embedding': torch.zeros(129, 4),
    }
    assert describe('clip-reid', state)['data_arguments'] == dict(num_ids=7, num_cameras=18, num_views=1)
    assert describe('clip-reid', state, num_views=3)['data_arguments'] == dict(num_ids=7, num_cameras=6, num_views=3)
    with pytest.raises(ValueError, match='num_views=4, but cv_embed has 18 rows'):
        describe('clip-reid', state, num_views=4)
    with pytest.raises(ValueError, match='coop: takes no num_views'):
        describe('coop', official(torch.zeros(N_CTX, WIDTH), 3), num_views=3)
