"""Steps of every kind of model on tensors of a GPU that is not there.

Tensors without data raise where the host would read a value (a number, the size of a selection), where tensors of two
devices meet, and where an operation does not take the dtype that autocast gives it.  Backward passes of such tensors
need a real GPU, so these run on the CPU, where reads raise just the same.
"""

from contextlib import contextmanager
from functools import cache

import pytest
import torch
from mmengine.structures import PixelData
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException

from tests.host_reads import CopiesToGpu
from vlprompt.apis import init_model, list_configs
from vlprompt.clip import TextEncoder
from vlprompt.clip.text.costs import gpu_costs
from vlprompt.engine import load_config
from vlprompt.engine.compiling import use_compiled
from vlprompt.engine.dry_run import fake_copy, fake_tensor
from vlprompt.engine.phases import phase_config
from vlprompt.models import FeatureClassifier
from vlprompt.structures import ClassificationSample, ReIDSample

NAMES = ['cat', 'sea lion', 'a dog with a long name', 'bird']
BATCH = 4

CLASSIFIERS = [
    'zero_shot/zero-shot_micro-rn',
    'coop/coop_micro-rn',
    'cocoop/cocoop_micro-vit',
    'plot/plot_micro-rn',
    'plot/plot_micro-rn_gv',
    'plot/plot_micro-rn_m',
    'plotpp/plotpp_micro-vit:visual',
    'maple/maple_micro-vit',
    'ivlp/ivlp_micro-vit',
    'ivlp/vpt-deep_micro-vit',
    'promptsrc/promptsrc_micro-vit',
    'clip_lora/clip-lora_micro-vit',
    'two_stage/2sfs_micro-vit:norms',
    'two_stage/2sfs_micro-vit:classifier',
    'vpt/vpt_micro-vit',
    'vpt/finetune_micro-vit',
    'adaptformer/adaptformer_micro-vit',
    'lpt/lpt_micro-vit:shared',
    'lpt/lpt_micro-vit:groups',
]
SOLVERS = [
    'tip_adapter/tip-adapter_micro-rn',
    'tip_adapter/tip-adapter-f_micro-rn',
    'gda/gda_micro-rn',
    'proker/proker_micro-rn',
    'lpp/lpp_micro-rn',
    'clap/clap_micro-rn',
    'linear_probe/linear-probe_micro-rn',
    'plot_adapter/plot-adapter_micro-rn:adapter',
]
PEOPLE = [
    'clipreid/baseline_micro-rn',
    'clipreid/clipreid_micro-vit_sie:finetune',
    'clipreid/clipreid_micro-vit:prompts',
    'clipreid/pcl_micro-vit',
    'clipreid/baseline_person-vit-b16',
]
SEGMENTORS = [
    'denseclip/clip_micro-rn_fpn_200i_camvid-192x192',
    'denseclip/denseclip_micro-rn_fpn_200i_scenes-160x160',
    'denseclip/denseclip_micro-rn_fpn_open_200i_scenes-160x160',
    'segment_by_words/naclip_micro-vit',
]
UNTRAINED = ('zero_shot', 'segment_by_words')

VARIANTS = [
    'adaptformer/adaptformer_micro-vit_balanced',
    'adaptformer/adaptformer_micro-vit_lift-plus',
    'clap/clap_micro-vit',
    'clap/zs-lp_micro-rn',
    'clap/zs-lp_micro-vit',
    'clipreid/baseline_micro-vit',
    'clipreid/clipreid_micro-rn:prompts',
    'clipreid/clipreid_micro-rn:finetune',
    'clipreid/clipreid_micro-vit:finetune',
    'clipreid/clipreid_micro-vit_olp:finetune',
    'clipreid/clipreid_micro-vit_sie-olp:finetune',
    'coop/coop_micro-vit',
    'denseclip/clip_micro-rn_fpn_200i_scenes-160x160',
    'denseclip/denseclip_labels-micro-rn_fpn_200i_scenes-160x160',
    'denseclip/denseclip_micro-rn_fpn_200i_camvid-192x192',
    'denseclip/denseclip_micro-rn_fpn_no-aux_200i_scenes-160x160',
    'denseclip/denseclip_micro-rn_fpn_no-concat_200i_scenes-160x160',
    'denseclip/denseclip_micro-rn_fpn_no-decoder_200i_scenes-160x160',
    'denseclip/denseclip_micro-rn_fpn_pre_200i_camvid-192x192',
    'denseclip/denseclip_micro-rn_fpn_pre_200i_scenes-160x160',
    'denseclip/fpn_labels-micro-rn_200i_scenes-160x160',
    'denseclip/fpn_micro-rn_200i_camvid-192x192',
    'denseclip/fpn_micro-rn_200i_scenes-160x160',
    'gda/gda_micro-vit',
    'gda/gda_micro-vit_long-tailed',
    'ivlp/language-deep_micro-vit',
    'linear_probe/linear-probe_micro-vit',
    'lpp/lpp_micro-vit',
    'lpt/lpt_micro-vit_kmeans:groups',
    'lpt/lpt_micro-vit_phase1:shared',
    'lpt/lpt_micro-vit_phase1-ce:shared',
    'lpt/lpt_micro-vit_uniform:groups',
    'plot/plot_micro-rn_g',
    'plot/plot_micro-rn_global',
    'plot/plot_micro-rn_mv',
    'plot/plot_micro-vit',
    'plotpp/plotpp_micro-vit:joint',
    'plotpp/plotpp_micro-vit_class-first:joint',
    'proker/proker_micro-vit',
    'segment_by_words/value_micro-rn',
    'tip_adapter/tip-adapter-f_micro-vit',
    'tip_adapter/tip-adapter_micro-vit',
    'vpt/linear_micro-vit',
    'vpt/linear_micro-vit_balanced',
    'vpt/vpt_micro-vit_balanced',
    'zero_shot/zero-shot_micro-vit',
]
"""Further configs of the same kinds; tested in float16 alone, which is the strictest."""

SOLVER_FOLDERS = {name.partition('/')[0] for name in SOLVERS}


def is_solver(name):
    return name.partition('/')[0] in SOLVER_FOLDERS


def is_of_people(name):
    return name.startswith('clipreid/')


def is_segmentor(name):
    return name.startswith(('denseclip/', 'segment_by_words/'))


def config(name):
    name, _, phase = name.partition(':')
    return phase_config(load_config(name), phase or None)


def takes_names(cfg):
    """Whether the number of classes may be another than that of the config."""
    return cfg.model.type != 'EncoderDecoder'


def build(name):
    """A micro model with random weights on the CPU, in the state that it has in a training."""
    cfg, folder = config(name), name.partition('/')[0]
    options = {'model.clip.weights': None} if cfg.model.get('clip') else {}
    if is_solver(name):
        options |= {f'model.solver.{key}': 1 for key in ('epochs', 'steps') if key in cfg.model.solver}
    if is_of_people(name):
        options |= {'model.num_ids': 3}
        options |= {'model.noun': 'person'} if ':prompts' in name else {'model.num_cameras': 2, 'model.num_views': 1}
        if cfg.model.get('timm'):
            small = dict(width=64, layers=2, heads=2, patch_size=16, image_size=(64, 32), _delete_=True)
            options |= {'model.timm.arch': small, 'model.timm.weights': None, 'model.timm.image_size': (64, 32)}
    elif is_segmentor(name):
        options = {}
    else:
        options |= {'model.class_names': NAMES} | ({'model.num_classes': 4} if folder in ('vpt', 'lpt') else {})
    model = init_model(cfg, cfg_options=options, class_names=NAMES if is_segmentor(name) and takes_names(cfg) else None)
    if getattr(model, 'prototypes', None) is not None:
        model.prototypes.normal_()
        model._has_prototypes = True
    if getattr(model, 'centroids', None) is not None:
        model.centroids.fill(torch.randn(3, model.centroids.centroids.shape[1]), torch.arange(3))
        model.centroids._filled = True
    if hasattr(model, 'set_class_counts'):
        model.set_class_counts([9, 5, 3, 2])
    if isinstance(model, FeatureClassifier):
        tokens = model.image_features(torch.randn(16, 3, 64, 64)).unflatten(0, (8, 2))
        model.fit(tokens.detach(), torch.arange(4).repeat(2), seed=0)
    return model


def image_size(model, name):
    if is_segmentor(name):
        return 160, 160
    visual = model.visual if hasattr(model, 'visual') else model.clip.visual
    return tuple(getattr(visual, 'image_size', (64, 64)))


def batch(model, name, on_device):
    """Images, samples and labels; ``on_device`` makes each tensor from one on the CPU."""

    size, labels = image_size(model, name), torch.tensor([[0], [0], [1], [1]])
    images = on_device(torch.randn(BATCH, 3, *size))
    if is_segmentor(name):
        from mmseg.structures import SegDataSample

        samples = [SegDataSample(metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size)) for _ in range(BATCH)]
        for sample in samples:
            sample.gt_sem_seg = PixelData(data=on_device(torch.zeros(1, *size, dtype=torch.long)))
        return images, samples
    if ':prompts' in name:
        return images, [ReIDSample() for _ in range(BATCH)]
    made = ReIDSample if is_of_people(name) else ClassificationSample
    samples = [made(pid=i // 2, camid=i % 2, viewid=0) for i in range(BATCH)]
    for sample, label in zip(samples, labels, strict=True):
        sample.set_field(on_device(label), 'gt_label')
    return images, samples


def training_batch(model, name, on_device):
    if ':prompts' in name:  # its images are features
        return on_device(torch.randn(BATCH, model.clip.embed_dim)), on_device(torch.tensor([0, 0, 1, 2]))
    return batch(model, name, on_device)


@contextmanager
def autocast_without_gpu(device, dtype):
    """Autocast, which ``torch.autocast('cuda')`` refuses where there is no GPU."""
    before = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    torch.set_autocast_enabled(device, dtype is not None)
    torch.set_autocast_dtype(device, dtype or before[1])
    try:
        yield
    finally:
        torch.clear_autocast_cache()
        torch.set_autocast_enabled(device, before[0])
        torch.set_autocast_dtype(device, before[1])


def run(model, name, what, device, autocast=None):
    """A forward pass in a mode, or with ``what='backward'`` a training step without the update."""
    mode, trains = FakeTensorMode(), what in ('loss', 'backward')
    fake = fake_copy(model, mode, device).train(trains)
    make = training_batch if trains else batch
    images, samples = make(fake, name, lambda tensor: fake_tensor(tensor, mode, device))
    with mode, torch.set_grad_enabled(trains), autocast_without_gpu(device, autocast):
        out = fake(images, samples, mode='loss' if trains else what)
        if what == 'loss':
            with CopiesToGpu() as copies:
                fake(images, samples, mode='loss')
            assert not copies.waiting, 'in the second step, when plans are made'
        if what == 'backward':
            sum(value for key, value in out.items() if 'loss' in key).backward()
    return fake


def is_trained(name):
    return not is_solver(name) and not name.startswith(UNTRAINED)


ALL = [*CLASSIFIERS, *SOLVERS, *PEOPLE, *SEGMENTORS]


@cache
def built(name):
    torch.manual_seed(0)
    return build(name)


@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize('autocast', [None, torch.float16, torch.bfloat16], ids=['fp32', 'fp16', 'bf16'])
def test_nothing_is_read_on_a_gpu(name, autocast):
    for what in ('loss', 'predict', 'tensor') if is_trained(name) else ('predict', 'tensor'):
        run(built(name), name, what, 'cuda', autocast)


@pytest.mark.parametrize('name', VARIANTS)
def test_nothing_is_read_by_variants(name):
    for what in ('loss', 'predict', 'tensor') if is_trained(name) else ('predict', 'tensor'):
        run(build(name), name, what, 'cuda', torch.float16)


def test_every_micro_model_is_here():
    """But detectors, whose heads assign boxes on the host."""
    shipped = {name.removesuffix('.py') for name in map(str, list_configs()) if 'micro' in name}
    detectors = {name for name in shipped if name.startswith('denseclip_det/')}
    assert shipped - detectors <= {name.partition(':')[0] for name in [*ALL, *VARIANTS]}


@pytest.mark.parametrize('name', [name for name in ALL if is_trained(name)])
def test_nothing_is_read_in_the_backward_pass(name):
    """With texts packed as on a GPU."""
    model = built(name)
    texts = [module for module in model.modules() if isinstance(module, TextEncoder)]
    for text in texts:
        text.costs = gpu_costs(text)
    try:
        trained = run(model, name, 'backward', 'cpu')
    finally:
        for text in texts:
            text.costs = 'device'
    assert any(parameter.grad is not None for parameter in trained.parameters())


@pytest.mark.parametrize(
    'name',
    [
        'coop/coop_micro-rn',
        'plot/plot_micro-rn',
        'plotpp/plotpp_micro-vit:visual',
        'cocoop/cocoop_micro-vit',
        'maple/maple_micro-vit',
        'promptsrc/promptsrc_micro-vit',
        'vpt/vpt_micro-vit',
        'lpt/lpt_micro-vit:groups',
        'clipreid/clipreid_micro-vit_sie:finetune',
        'clipreid/clipreid_micro-vit:prompts',
        'denseclip/denseclip_micro-rn_fpn_200i_scenes-160x160',
    ],
)
def test_losses_compile_into_one_graph(name):
    """As dynamo traces them, without a compiler: no graph break (``fullgraph``), one graph for a size of a batch, and
    none anew for other samples, for the next epoch or after a validation.  With a plan of texts for a CPU that is
    there, and one for a GPU.
    """
    torch.manual_seed(0)
    model = build(name).train()
    texts = [module for module in model.modules() if isinstance(module, TextEncoder)]
    for costs in (None, *(gpu_costs(text) for text in texts)):
        for text in texts:
            text.costs = costs
        torch._dynamo.reset()
        counter = CompileCounterWithBackend('eager')
        part = use_compiled(model, dict(backend=counter, fullgraph=True))
        for epoch, sizes in enumerate([(4, 4, 2), (2, 4)] if costs is None else [(4, 4)]):
            tell_progress(model, epoch)
            for size in sizes:
                train_step(model, name, size, number=10 * epoch + size)
            model.eval()
            with torch.no_grad():
                model(*batch(model, name, torch.clone), mode='predict')
            model.train()
        del vars(model)[part]
        assert counter.frame_count == (2 if costs is None else 1), part


def tell_progress(model, epoch):
    for module in model.modules():
        if hasattr(module, 'set_progress'):
            module.set_progress(epoch, 2)


def train_step(model, name, size, number):
    """A step without the update, on samples whose numbers and files are those of no other step."""
    images, samples = training_batch(model, name, torch.clone)
    for index, sample in enumerate(samples if ':prompts' not in name else ()):
        sample.set_metainfo(dict(img_path=f'{number}-{index}.png'))
        if isinstance(sample, ReIDSample):
            sample.set_field(10 * number + index // 2, 'pid')
            sample.set_field((number + index) % 2, 'camid')
    if size == 2 and is_of_people(name):
        images, samples = images[1:3], samples[1:3]  # of two identities
    losses = model(images[:size], samples[:size], mode='loss')
    sum(value for key, value in losses.items() if 'loss' in key).backward()


def test_a_read_is_noticed():
    """The test itself: a model that asks its input for a number."""

    class Reads(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x) if float(x.sum()) > 0 else x

    mode = FakeTensorMode()
    fake = fake_copy(Reads(2, 2), mode, 'cuda')
    with mode, pytest.raises(DataDependentOutputException):
        fake(fake_tensor(torch.empty(1, 2), mode, 'cuda'))
    with mode, pytest.raises(Exception, match='device'):
        torch.nn.functional.linear(torch.empty(1, 2), fake.weight)
