"""The estimated memory of a training step against the one that is measured, on a CPU.

Both sides are the same step from the second one on (forward and backward pass, update) with random weights: the
estimate of tools/analysis_tools/get_flops.py from tensors without data, and the most that torch's allocator of the CPU
held, by torch's profiler. The profiler also sees what single operations need inside on a CPU. Texts are packed as on a
GPU on both sides, and optimizers update one tensor after another, as on a CPU.

    python dev/benchmarks/memory.py
    python dev/benchmarks/memory.py --quick        # the built-in models: shows that it runs
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.profiler import ProfilerActivity, profile

from vlprompt.apis import init_model
from vlprompt.apis.parameters import without_weights
from vlprompt.apis.sample_batch import image_size, sample_batch
from vlprompt.clip.text.encoder import pack_texts_for_gpu
from vlprompt.engine import load_config
from vlprompt.engine.dry_run import gpu_autocast, take_as_filled
from vlprompt.engine.memory import tensors_in, training_memory
from vlprompt.engine.phases import phase_config

IDENTITIES = {'model.num_ids': 751, 'model.num_cameras': 6}
STEPS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    'CoOp': ('coop_rn50', 'coop_micro-rn', 32, {'model.class_names': 'caltech101'}),
    'PLOT, N = 4': ('plot_rn50', 'plot_micro-rn', 32, {'model.class_names': 'caltech101'}),
    'DenseCLIP': (
        'denseclip_r50_fpn_80k_ade20k-512x512',
        'denseclip_micro-rn_fpn_200i_scenes-160x160',
        2,
        {},
    ),
    'CLIP-ReID, second phase': ('clipreid_vit-b16:finetune', 'clipreid_micro-vit:finetune', 16, IDENTITIES),
    'LPT, second phase': ('lpt_vit-b16-in21k:groups', 'lpt_micro-vit:groups', 16, {'model.num_classes': 365}),
}
"""Config, the one of ``--quick``, images, and arguments that follow the data."""


def build(name: str, options: dict[str, Any]) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A model in training with random weights, and its optimizer."""
    name, _, phase = name.partition(':')
    cfg = phase_config(load_config(name), phase or None)
    model = init_model(without_weights(cfg), cfg_options=options).train()
    if hasattr(model, 'set_class_counts'):
        model.set_class_counts([1] * model.num_classes)
    take_as_filled(model)
    optimizer = build_optim_wrapper(model, model.cfg.optim_wrapper).optimizer
    for group in optimizer.param_groups:
        group['foreach'] = False
    return model, optimizer


def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: dict[str, Any], dtype: torch.dtype | None) -> None:
    """Forward pass, backward pass, update."""
    with gpu_autocast(dtype):
        loss, _ = model.parse_losses(model(**batch, mode='loss'))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def profiled(run: partial, present: int) -> int:
    """The most bytes that the allocator held during ``run()``, with those that were there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run()
    events = [event for event in found.profiler.kineto_results.events() if event.name() == '[memory]']
    held = most = present
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def main(argv: Sequence[str] | None = None) -> dict[str, tuple[int, int]]:
    """Print a table and return bytes, estimated and measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', nargs='+', choices=STEPS, default=list(STEPS), metavar='NAME', help='default: all')
    parser.add_argument('--quick', action='store_true', help='the built-in models')
    args = parser.parse_args(argv)
    MMLogger.get_instance('mmengine', log_level=logging.ERROR)
    print('| step | images | | estimate, MB | measured, MB | ratio | estimate takes, s |\n' + '|---' * 7 + '|')
    found = {}
    for title in args.steps:
        full, micro, images, options = STEPS[title]
        model, optimizer = build(micro if args.quick else full, options)
        batch = sample_batch(model, 8 if args.quick else images, image_size(model))
        for kind, dtype in (('float32', None), ('bfloat16', torch.bfloat16)):
            start = time.process_time()
            estimate = training_memory(model, batch, [optimizer], dtype)
            seconds = time.process_time() - start
            pack_texts_for_gpu(model, half=dtype is not None)
            run = partial(step, model, optimizer, batch, dtype)
            run()  # the optimizer gets its states
            states = tensors_in(list(optimizer.state.values()))
            present = [*model.parameters(), *model.buffers(), *tensors_in(batch), *states]
            measured = profiled(run, sum(tensor.nbytes for tensor in present))
            found[f'{title}, {kind}'] = (estimate.peak, measured)
            print(
                f'| {title} | {len(batch["inputs"])} | {kind} | {estimate.peak / 1e6:,.0f} | {measured / 1e6:,.0f} | '
                f'{estimate.peak / measured:.3f} | {seconds:.1f} |',
                flush=True,
            )
    return found


if __name__ == '__main__':
    main()
