"""CLIP-LoRA and 2SFS against the official layers and classifier (float64, synthetic weights, micro CLIP)."""

import json
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from vlprompt.alignment import CosineAlignment
from vlprompt.clip import build_clip, merge_lora
from vlprompt.clip.low_rank import branches
from vlprompt.clip.tensor_files import read_tensors
from vlprompt.engine import load_config
from vlprompt.engine.peft_adapters import LAYOUTS, load_adapter, merge_adapter, write_adapter
from vlprompt.engine.phases import phase_config
from vlprompt.engine.schedules import LinearWarmupCosineLR
from vlprompt.prompts import ClassWeights


class Case:
    """A case of the golden numbers: its description, arrays, inputs and micro CLIP."""

    def __init__(self, golden, name, tmp_path):
        self.golden = golden
        self.meta, arrays = golden.load(f'few_shot/{name}_a')
        self.ref = {key: torch.from_numpy(arrays[key]) for key in arrays}
        base = tmp_path / 'base.pt'
        spec = read_json(golden, 'micro_clip_a.spec.json')
        torch.save(golden.synth_state(spec), base)
        arch = dict(self.meta['arch'])
        arch['image_size'] = arch.pop('image_resolution')
        self.clip = dict(arch=arch, weights=str(base), quick_gelu=True)

    def build(self, **options):
        return build_clip(**self.clip, **options)

    @property
    def images(self):
        return self.golden.synth_input('a:images', self.meta['image_shape'])


def read_json(golden, name):
    return json.loads((Path(golden.__file__).parent / 'few_shot' / name).read_text())


@torch.no_grad()
def fill_branches(model):
    """A and B of the case, and the branches by the names of its ``order``."""
    tensor = sys.modules['synth'].synth_tensor  # imported by the module of the fixture
    found = {}
    for name, _, target, _, branch in branches(model):
        key = name.removeprefix('text.').replace(f'lora.{target}', f'{target}_proj')
        branch.A.copy_(tensor(f'a:{key}.lora_A', branch.A.shape))
        branch.B.copy_(0.1 * tensor(f'a:{key}.lora_B', branch.B.shape).to(branch.B.dtype))
        found |= {f'{key}.A': branch.A, f'{key}.B': branch.B}
    return found


@pytest.mark.parametrize(('dtype', 'tolerance', 'of_gradients'), [('float64', 1e-9, 1e-9), ('float32', 1e-4, 1e-4)])
def test_clip_lora(golden, tmp_path, dtype, tolerance, of_gradients):
    case = Case(golden, 'clip_lora', tmp_path)
    dtype, ref = getattr(torch, dtype), case.ref
    model = case.build(lora=dict(dropout=0.0)).to(dtype)
    images, tokens = case.images.to(dtype), ref['tokens']

    def features():
        return model.encode_image(images, local=False, maps=False).cls, model.encode_text(tokens)

    with torch.no_grad():
        base = features()
    for ours, kind in zip(base, ('image', 'text'), strict=True):
        assert golden.rel(F.normalize(ours, dim=-1), F.normalize(ref[f'base_{kind}_features'], dim=-1)) < tolerance
    by_name = fill_branches(model)
    parameters = [by_name[name] for name in case.meta['order']]
    assert sum(p.numel() for p in parameters) == case.meta['trainable']
    image, text = features()
    logits = case.meta['logit_scale'] * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).t()
    loss = F.cross_entropy(logits, ref['labels'])
    assert golden.rel(F.normalize(image.detach(), dim=-1), F.normalize(ref['image_features'], dim=-1)) < tolerance
    assert golden.rel(F.normalize(text.detach(), dim=-1), F.normalize(ref['text_features'], dim=-1)) < tolerance
    assert golden.rel(logits.detach(), ref['logits']) < tolerance
    assert loss.item() == pytest.approx(ref['loss'].item(), rel=tolerance)
    gradients = torch.autograd.grad(loss, parameters)
    assert golden.rel(torch.stack([g.norm() for g in gradients]), ref['grad_norms']) < of_gradients
    assert golden.rel(torch.stack([g.flatten()[:16] for g in gradients]), ref['grad16']) < of_gradients
    with torch.no_grad():
        merge_lora(model)
        merged = model.visual.transformer.resblocks[0].attn.in_proj_weight
        assert golden.rel(merged[0], ref['merged_first_visual_in_proj_row0']) < tolerance
        assert merged.norm().item() == pytest.approx(ref['merged_first_visual_in_proj_norm'].item(), rel=tolerance)
        assert golden.rel(features()[0], image) < tolerance


@pytest.mark.parametrize('layout', LAYOUTS)
def test_files_of_peft(golden, tmp_path, layout):
    """Adapters that peft itself has loaded: read, merged, and written back tensor by tensor."""
    case = Case(golden, 'clip_lora', tmp_path)
    folder = Path(golden.__file__).parent / f'few_shot/peft_{layout.replace("_", "")}_a'
    model, merged = case.build(lora=dict(dropout=0.25)), case.build()
    load_adapter(model, folder)
    merge_adapter(merged, folder)
    for each in (model.double(), merged.double()):
        with torch.no_grad():
            image = each.encode_image(case.images.double(), local=False, maps=False).cls
            text = each.encode_text(case.ref['tokens'])
        assert golden.rel(F.normalize(image, dim=-1), F.normalize(case.ref['image_features'], dim=-1)) < 1e-7
        assert golden.rel(F.normalize(text, dim=-1), F.normalize(case.ref['text_features'], dim=-1)) < 1e-7
    write_adapter(model, tmp_path / 'ours', layout)
    theirs, ours = (read_tensors(path / 'adapter_model.safetensors') for path in (folder, tmp_path / 'ours'))
    assert set(ours) == set(theirs)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-7, rtol=1e-6, msg=name)
    theirs, ours = (json.loads((path / 'adapter_config.json').read_text()) for path in (folder, tmp_path / 'ours'))
    assert {key: theirs[key] for key in ours if key != 'base_model_name_or_path'} == {
        key: value for key, value in ours.items() if key != 'base_model_name_or_path'
    }


class Tokens(ClassWeights):
    """Class weights whose prompts are the token ids of the case, by class name."""

    ids_by_name: dict

    def set_class_names(self, class_names):
        super().set_class_names(class_names)
        self.words.set_ids(torch.stack([self.ids_by_name[name] for name in self.words.class_names])[None])


@pytest.mark.parametrize(('dtype', 'tolerance'), [('float64', 1e-8), ('float32', 1e-3)])
def test_two_stage(golden, tmp_path, dtype, tolerance):
    case = Case(golden, 'twostage', tmp_path)
    dtype, ref = getattr(torch, dtype), case.ref
    clip = case.build().to(dtype)
    base = [f'base{i}' for i in range(5)]
    Tokens.ids_by_name = {f'base{i}': ids for i, ids in enumerate(ref['base_tokens'])}
    Tokens.ids_by_name |= {f'new{i}': ids for i, ids in enumerate(ref['new_tokens'])}
    prompt = Tokens(base, clip.text).to(dtype)
    features = clip.encode_image(case.images.to(dtype), local=False, maps=False)
    features.cls = features.cls.detach()
    align = CosineAlignment()

    def logits():
        return align(features, prompt.encode(clip.text), clip.logit_scale.exp().detach()).logits

    with torch.no_grad():
        zero_shot = logits()
        assert golden.rel(prompt.encode(clip.text)[0], ref['classifier0']) < tolerance
    assert not prompt.weight.any(), 'nothing starts without training'
    optimizer = torch.optim.AdamW([prompt.weight], lr=2e-4, weight_decay=1e-2)
    schedule = LinearWarmupCosineLR(optimizer, T_max=4, by_epoch=False, warmup=0, first=0, eta_min=1e-6)
    for step in range(4):
        assert optimizer.param_groups[0]['lr'] == pytest.approx(ref['lrs'][step].item(), rel=1e-12)
        out = logits()
        if step == 0:
            torch.testing.assert_close(out.detach(), zero_shot)
        loss = F.cross_entropy(out, ref['labels'])
        assert loss.item() == pytest.approx(ref['losses'][step].item(), rel=tolerance)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    prompt.eval()
    with torch.no_grad():
        assert golden.rel(prompt.weight, ref['classifier4']) < tolerance
        assert golden.rel(logits(), ref['logits4']) < tolerance
        prompt.set_class_names(case.meta['selective_categories'])
        assert prompt.words.class_names == ('new0', 'new1'), 'only these go through the text tower'
        assert golden.rel(logits(), ref['selective_logits']) < tolerance


ROWS = {
    'clip_lora_1shot': ('clip_lora/clip-lora_vit-b16', None),
    'two_stage_1shot_stage1': ('two_stage/2sfs_vit-b16', 'norms'),
    'two_stage_1shot_stage2': ('two_stage/2sfs_vit-b16', 'classifier'),
}


@pytest.mark.parametrize('row', ROWS)
def test_schedules(golden, row):
    """Of the shipped configs: the rate of every stated step, and the number of steps for every number of shots."""
    reference = read_json(golden, 'schedules.json')
    name, phase = ROWS[row]

    def config(shots):
        return phase_config(load_config(name, dict(shots=shots)), phase)

    cfg = config(1)
    (described,) = cfg.param_scheduler
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    schedule = LinearWarmupCosineLR(optimizer, **{k: v for k, v in described.items() if k != 'type'})
    rates = []
    for _ in range(cfg.train_cfg.max_iters):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        schedule.step()
    assert len(rates) == 1 + max(map(int, reference[row]))
    for step, rate in reference[row].items():
        assert rates[int(step)] == pytest.approx(rate, rel=1e-12)
    steps = reference['iterations']['clip_lora' if phase is None else 'two_stage']
    index = None if phase is None else list(load_config(name).phases).index(phase)
    for shots, total in steps.items():
        assert config(int(shots)).train_cfg.max_iters == (total if index is None else total[index])
