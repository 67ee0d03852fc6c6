"""The claims, as data."""

from __future__ import annotations

from dataclasses import replace

from vlprompt.apis.claims.claim import Claim, Comparison, Metric, Setting

TOP1 = Metric('accuracy/top1', 'accuracy')
MIOU = Metric('mIoU', 'mIoU')
BOX = Metric('coco/bbox_mAP', 'box AP', 100)
MASK = Metric('coco/segm_mAP', 'mask AP', 100)
OVERALL = Metric('shot/overall', 'accuracy')
MAP = Metric('reid/mAP', 'mAP')

SHOTS = (1, 2, 4, 8, 16)
COOP_MEANS = dict(zip(SHOTS, (59.56, 61.78, 66.47, 69.86, 73.31), strict=True))
PLOT_MEANS = dict(zip(SHOTS, (62.58, 65.21, 68.62, 71.23, 73.97), strict=True))
"""Means over eleven datasets, ResNet-50, computed from recalled tables of the PLOT paper."""
VALUE = 'model.clip.vision.local=value'
NACLIP = 'model.clip.vision.local=naclip'
SALIENCY = 'model.alignment.marginals=class_token'
OURS = 'our question'


def _n_prompts(number: int) -> Setting:
    options = () if number == 4 else (f'model.prompt.n_prompts={number}',)
    return Setting(f'N = {number}', 'plot_micro-rn', options, 16)


def _plot(*options: str, name: str = 'PLOT', config: str = 'plot_micro-rn', shots: int = 16) -> Setting:
    return Setting(name, config, options, shots)


def _uniform(*options: str) -> Setting:
    return _plot(*options, name='uniform', config='plot_micro-rn_m')


def _coop(shots: int = 16, config: str = 'coop_micro-rn') -> Setting:
    return Setting('CoOp', config, (), shots)


TIP_ADAPTER_F = Setting('Tip-Adapter-F', 'tip-adapter-f_micro-rn', (), 16)


def _segmentor(name: str, config: str, *options: str) -> Setting:
    return Setting(name, f'{config}_200i_scenes-160x160', options)


DENSECLIP = _segmentor('DenseCLIP', 'denseclip_micro-rn_fpn')
FINE_TUNED = _segmentor('CLIP fine-tuned', 'clip_micro-rn_fpn')
LABELS = _segmentor('pretrained on labels', 'fpn_labels-micro-rn')


def _detector(name: str, config: str, iterations: int) -> Setting:
    return Setting(name, f'{config}_fpn_{iterations}i_scenes-160x160')


MASK_RCNN = tuple(
    _detector(name, f'mask-rcnn_{config}', 400)
    for name, config in (('DenseCLIP', 'denseclip-micro-rn'), ('CLIP fine-tuned', 'clip-micro-rn'))
)
RETINANET = tuple(
    _detector(name, f'retinanet_{config}', 600)
    for name, config in (('DenseCLIP', 'denseclip-micro-rn'), ('CLIP fine-tuned', 'clip-micro-rn'))
)

LINEAR = Setting('linear', 'linear_micro-vit')
LINEAR_BALANCED = Setting('linear, balanced', 'linear_micro-vit_balanced')
VPT = Setting('VPT', 'vpt_micro-vit')
VPT_BALANCED = Setting('VPT, balanced', 'vpt_micro-vit_balanced')
LPT = Setting('LPT', 'lpt_micro-vit')
LPT_KMEANS = Setting('LPT, k-means keys', 'lpt_micro-vit_kmeans')
PHASE_1 = Setting('phase 1, as long', 'lpt_micro-vit_phase1')
PHASE_1_CE = Setting('phase 1 with cross-entropy', 'lpt_micro-vit_phase1-ce')

REID_BASELINE = Setting('baseline', 'baseline_micro-vit')
CLIPREID = Setting('CLIP-ReID', 'clipreid_micro-vit')

CLAIMS = (
    Claim(
        'coop',
        'Learned words (CoOp) are above zero-shot CLIP',
        'PLOT',
        TOP1,
        (Comparison(_coop(), Setting('zero-shot', 'zero-shot_micro-rn')),),
    ),
    Claim(
        'plot-coop',
        'PLOT is above CoOp at every number of shots',
        'PLOT',
        TOP1,
        tuple(
            Comparison(
                _plot(shots=k, name=f'PLOT, {k} shot{"s" if k > 1 else ""}'),
                _coop(k),
                f'{PLOT_MEANS[k]:.1f} / {COOP_MEANS[k]:.1f} (mean of 11 datasets, recalled)',
            )
            for k in SHOTS
        ),
    ),
    Claim(
        'plot-global',
        'The logits of the global feature, which the published code adds on ImageNet, raise PLOT above CoOp',
        'PLOT',
        TOP1,
        (
            Comparison(_plot(name='PLOT with global logits', config='plot_micro-rn_global'), _coop()),
            Comparison(_plot(name='PLOT with global logits', config='plot_micro-rn_global'), _plot()),
        ),
    ),
    Claim(
        'plot-ablation',
        'Global matching of N prompts (G), with variety (G+V), and uniform local matching (M, M+V) are below PLOT',
        'PLOT',
        TOP1,
        (
            Comparison(_plot(), _plot(name='G', config='plot_micro-rn_g'), '92.2 / 90.7 (Caltech101, recalled)'),
            Comparison(_plot(), _plot(name='G+V', config='plot_micro-rn_gv'), '92.2 / 92.0 (Caltech101, recalled)'),
            Comparison(_plot(), replace(_uniform(), name='M'), '92.2 / 86.2 (Caltech101, recalled)'),
            Comparison(_plot(), _plot(name='M+V', config='plot_micro-rn_mv'), '92.2 / 89.8 (Caltech101, recalled)'),
        ),
    ),
    Claim(
        'plot-transport',
        'The transport plan is above the uniform plan on the same tokens',
        'PLOT',
        TOP1,
        (
            Comparison(_plot(name='transport, native tokens'), _uniform(), OURS),
            Comparison(_plot(VALUE, name='transport, value path'), _uniform(VALUE), OURS),
            Comparison(
                _plot(SALIENCY, name='transport, native tokens, marginals by saliency'), _uniform(SALIENCY), OURS
            ),
            Comparison(
                _plot(VALUE, SALIENCY, name='transport, value path, marginals by saliency'),
                _uniform(VALUE, SALIENCY),
                OURS,
            ),
        ),
    ),
    Claim(
        'plot-saliency',
        'Marginals by saliency, so that background counts less, raise PLOT above CoOp',
        'PLOT',
        TOP1,
        (
            Comparison(_plot(SALIENCY, name='PLOT, marginals by saliency'), _coop(), OURS),
            Comparison(_plot(SALIENCY, name='PLOT, marginals by saliency'), _plot(), OURS),
        ),
    ),
    Claim(
        'plot-n',
        'More prompts are better: N = 2, 4, 8 above N = 1',
        'PLOT',
        TOP1,
        tuple(Comparison(_n_prompts(number), _n_prompts(1)) for number in (2, 4, 8)),
    ),
    Claim(
        'plot-vit',
        'On a ViT, whose local features do not speak language, PLOT is below CoOp; local tokens that do repair it',
        'PLOT',
        TOP1,
        (
            Comparison(_coop(config='coop_micro-vit'), _plot(config='plot_micro-vit', name='PLOT, native tokens')),
            Comparison(
                _plot(NACLIP, config='plot_micro-vit', name='PLOT, NACLIP tokens'),
                _plot(config='plot_micro-vit', name='PLOT, native tokens'),
                OURS,
            ),
        ),
    ),
    Claim(
        'plotpp',
        'On the ViT PLOT++, which compares N pairs of prompts in both towers without local features, repairs PLOT',
        'PLOT',
        TOP1,
        (
            Comparison(_plot(config='plotpp_micro-vit', name='PLOT++'), _plot(config='plot_micro-vit')),
            Comparison(_plot(config='plotpp_micro-vit', name='PLOT++'), _coop(config='coop_micro-vit')),
        ),
    ),
    Claim(
        'adapters',
        'Adapters on stored features gain: Tip-Adapter-F above zero-shot CLIP, PLOT-Adapter above Tip-Adapter-F',
        'PLOT',
        TOP1,
        (
            Comparison(
                TIP_ADAPTER_F,
                Setting('zero-shot', 'zero-shot_micro-rn'),
                '75.8 / 58.9 (mean of 11 datasets, chosen on test images)',
            ),
            Comparison(Setting('PLOT-Adapter', 'plot-adapter_micro-rn', (), 16), TIP_ADAPTER_F),
        ),
    ),
    Claim(
        'clip-pretraining',
        'CLIP pretraining, here on captions and regions, is above pretraining on labels, as on ImageNet',
        'DenseCLIP',
        MIOU,
        (Comparison(FINE_TUNED, LABELS, '39.6 / 38.6 (ADE20K, ResNet-50; second derived from stated gains)'),),
    ),
    Claim(
        'denseclip',
        'DenseCLIP is above direct fine-tuning of CLIP',
        'DenseCLIP',
        MIOU,
        (Comparison(DENSECLIP, FINE_TUNED, '43.5 / 39.6 (ADE20K, ResNet-50)'),),
    ),
    Claim(
        'any-backbone',
        'DenseCLIP also helps a backbone that CLIP did not train',
        'DenseCLIP',
        MIOU,
        (Comparison(_segmentor('DenseCLIP on labels', 'denseclip_labels-micro-rn_fpn'), LABELS),),
    ),
    Claim(
        'denseclip-retinanet',
        'DenseCLIP is above direct fine-tuning of CLIP: RetinaNet',
        'DenseCLIP',
        BOX,
        (Comparison(*RETINANET, '37.8 / 36.9 (COCO, ResNet-50)'),),
    ),
    Claim(
        'denseclip-mask-rcnn',
        'DenseCLIP is above direct fine-tuning of CLIP: Mask R-CNN, boxes',
        'DenseCLIP',
        BOX,
        (Comparison(*MASK_RCNN, '40.2 / 39.3 (COCO, ResNet-50)'),),
    ),
    Claim(
        'denseclip-masks',
        'DenseCLIP is above direct fine-tuning of CLIP: Mask R-CNN, masks',
        'DenseCLIP',
        MASK,
        (Comparison(*MASK_RCNN, '37.6 / 36.8 (COCO, ResNet-50)'),),
    ),
    Claim(
        'denseclip-parts',
        'Score-map concatenation, auxiliary loss and context decoder each help',
        'DenseCLIP',
        MIOU,
        (
            Comparison(DENSECLIP, _segmentor('without concatenation', 'denseclip_micro-rn_fpn_no-concat')),
            Comparison(DENSECLIP, _segmentor('without auxiliary loss', 'denseclip_micro-rn_fpn_no-aux')),
            Comparison(DENSECLIP, _segmentor('without context decoder', 'denseclip_micro-rn_fpn_no-decoder')),
        ),
    ),
    Claim(
        'denseclip-post',
        'Post-model prompting is above pre-model prompting',
        'DenseCLIP',
        MIOU,
        (Comparison(DENSECLIP, _segmentor('pre', 'denseclip_micro-rn_fpn_pre')),),
    ),
    Claim(
        'vpt-linear',
        'VPT is above a linear probe',
        'VPT and LPT',
        OVERALL,
        (
            Comparison(VPT, LINEAR, '37.5 / 33.3 (Places-LT)'),
            Comparison(VPT_BALANCED, LINEAR_BALANCED, '44.2 / 41.3 (Places-LT)'),
        ),
    ),
    Claim(
        'adaptformer',
        'Adapters are above a linear probe',
        'VPT and LPT',
        OVERALL,
        (Comparison(Setting('AdaptFormer', 'adaptformer_micro-vit'), LINEAR),),
    ),
    Claim(
        'balanced',
        'Class-balanced sampling is above instance-balanced sampling',
        'VPT and LPT',
        OVERALL,
        (
            Comparison(LINEAR_BALANCED, LINEAR, '41.3 / 33.3 (Places-LT)'),
            Comparison(VPT_BALANCED, VPT, '44.2 / 37.5 (Places-LT)'),
        ),
    ),
    Claim(
        'lpt-vpt',
        'LPT is above balanced VPT',
        'VPT and LPT',
        OVERALL,
        (Comparison(LPT, VPT_BALANCED, '50.1 / 44.2 (Places-LT)'),),
    ),
    Claim(
        'lpt-agcl',
        'A-GCL is above cross-entropy in phase 1',
        'VPT and LPT',
        OVERALL,
        (Comparison(PHASE_1, PHASE_1_CE, '49.4 / 49.1 (Places-LT)'),),
    ),
    Claim(
        'lpt-phase-2',
        'Group prompts (phase 2) add to phase 1',
        'VPT and LPT',
        OVERALL,
        (Comparison(LPT, PHASE_1, '50.1 / 49.4 (Places-LT, phase 1 half as long)'),),
    ),
    Claim(
        'lpt-keys',
        'Keys that start at the centres of the queries help',
        'VPT and LPT',
        OVERALL,
        (Comparison(LPT_KMEANS, LPT, OURS),),
    ),
    Claim(
        'clipreid',
        'CLIP-ReID is above its baseline',
        'CLIP-ReID',
        MAP,
        (
            Comparison(CLIPREID, REID_BASELINE, '89.6 / 86.4 (Market-1501, ViT-B/16; baseline recalled)'),
            Comparison(
                Setting('CLIP-ReID, ResNet', 'clipreid_micro-rn'),
                Setting('baseline, ResNet', 'baseline_micro-rn'),
                '89.8 / 88.1 (Market-1501, ResNet-50; baseline recalled)',
            ),
        ),
    ),
    Claim(
        'clipreid-sie-olp',
        'Camera embeddings (SIE) and overlapping patches (OLP) help',
        'CLIP-ReID',
        MAP,
        (
            Comparison(Setting('with SIE', 'clipreid_micro-vit_sie'), CLIPREID),
            Comparison(Setting('with OLP', 'clipreid_micro-vit_olp'), CLIPREID),
            Comparison(
                Setting('with both', 'clipreid_micro-vit_sie-olp'), CLIPREID, '90.5 / 89.6 (Market-1501, ViT-B/16)'
            ),
        ),
    ),
)
