"""The page of the demo: its pictures with what they show, in numbers of this very run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlprompt.apis.demo.commands import clock
from vlprompt.apis.demo.few_shot import COLUMNS, SHOTS, FewShot
from vlprompt.apis.demo.tour import DETECTOR, LONG_TAIL, REIDENTIFIER, SEGMENTOR, Tour
from vlprompt.engine.adapters.folder import TENSORS
from vlprompt.engine.adapters.sources import BUILTIN, BUILTIN_FOLDER
from vlprompt.files import read_json
from vlprompt.shipped import TOOLS
from vlprompt.visualization.page import Code, Link, PageFigure, PageSection, PageTable, write_page

DOCS = TOOLS.parent / 'docs'
"""The folder of the docs, which a checkout has and a wheel has not."""

SEGMENTED = {
    3: ('Few mistakes', 'A class is a shape with its pattern, or with the colour of a part.'),
    16: ('A pattern is taken for another', 'Both round objects are dotted; the smaller one is taken for a grid.'),
    9: ('Shapes are found, colours of parts confused', 'The fish has a purple tail, which decides on its class.'),
}
DETECTED = {
    10: ('Objects that are found', 'Several names around one object: the detector is not sure of the class.'),
    13: ('Objects that are missed', 'A mosaic hides edges and patterns: most objects are missed.'),
}
"""Number of a test image on the page -> its title and what to look at: mostly right, then mostly wrong ones."""


def write_demo_page(out: Path, few_shot: FewShot, tour: Tour, seconds: float) -> Path:
    """Write ``index.html`` beside the pictures and return its path.

    Args:
        out: folder of the demo.
        few_shot: its first part, which has run.
        tour: its second part, which has run.
        seconds: that both have taken.
    """
    intro: list[Any] = [
        f'Made in {clock(seconds)} minutes on this machine, without a download: drawn scenes, small CLIP-like models '
        'that ship with the package, and methods as their papers describe them. All numbers are of this run, with one '
        'seed. The small models know such drawings and no photographs.'
    ]
    if few_shot.quick:
        intro.append('It was a quick run: one epoch on little data. Its numbers mean nothing.')
    sections = [
        methods_section(out, few_shot),
        images_section(out, few_shot),
        prompts_section(out, few_shot),
        words_section(out),
        segmentation_section(out, tour),
        detection_section(out, tour),
        people_section(out, tour),
        tail_section(out, tour),
        next_section(few_shot),
    ]
    return write_page(out / 'index.html', 'vlprompt: what the models have learned and what they see', intro, sections)


# ------------------------------------------------------------------------------------------------ zero-shot, CoOp, PLOT


def methods_section(out: Path, few_shot: FewShot) -> PageSection:
    zero_shot, coop, plot = few_shot.methods
    images = read_json(out / 'compared' / 'comparison.json')['images']
    text: list[Any] = [
        'Zero-shot CLIP compares an image with the names of the classes, in templates such as “a photo of a …”. CoOp '
        f'learns the words around the names from {SHOTS} images of each class; PLOT learns four such texts and matches '
        f'them with places of the image. On the {images} test images CoOp is '
        f'{above_or_below(coop.accuracy - zero_shot.accuracy)} zero-shot CLIP, PLOT '
        f'{above_or_below(plot.accuracy - zero_shot.accuracy)} it. '
    ]
    if plot.accuracy < zero_shot.accuracy:
        text += [
            'PLOT compares texts with local features only, and most of these images is background, whose features '
            'count as much as those of the object: ',
            document('claims.md', 'docs/claims.md tests this explanation', 'why'),
            '.',
        ]
    table = PageTable(COLUMNS, [method.cells for method in few_shot.methods])
    curves = PageFigure(
        out / 'curves.png',
        'Training, and zero-shot CLIP as the dashed line',
        'Loss and accuracy on the training images, and accuracy on validation images that no method has trained on. '
        'The dashed line is zero-shot CLIP on the same validation images. They are drawn in the styles of the training '
        'images, the test images in others: compare these accuracies with one another, not with those of the table.',
    )
    return PageSection('Three ways to use a text: zero-shot CLIP, CoOp, PLOT', text, [table, curves])


def images_section(out: Path, few_shot: FewShot) -> PageSection:
    report = read_json(out / 'compared' / 'comparison.json')
    corrected, new, both = (group['images'] for group in report['groups'])
    coop, zero_shot = few_shot.coop.name, few_shot.zero_shot.name
    return PageSection(
        'Right and wrong, image by image',
        f'Of {report["images"]} test images {coop} corrects {corrected} mistakes of {zero_shot} and makes {new} new '
        f'ones; {both} images are wrong in both.',
        [
            PageFigure(
                out / 'compared' / 'predictions.png',
                f'Test images that tell {zero_shot} and {coop} apart',
                'Each line is an image with the three most likely classes of both models and their probabilities; '
                'green is the true class, red a wrong first choice. First the images with the largest change.',
            ),
            PageFigure(
                out / 'compared' / 'confusions.png',
                'Which classes are taken for which',
                'A row is a true class, a column a predicted one, a number the share of the images of the row in '
                'percent; the diagonal is right. In the last panel blue is more and red is less '
                f'with {coop}: blue belongs on the diagonal, red beside it.',
            ),
        ],
    )


def prompts_section(out: Path, few_shot: FewShot) -> PageSection:
    plans = read_json(out / 'transport_plans' / 'transport_plans.json')
    drawn = sorted((out / 'transport_plans').glob('[0-9]*.png'))
    figures = []
    for right in (True, False):
        found = [number for number, plan in enumerate(plans) if is_right(plan) == right]
        if found:
            word = 'right' if right else 'wrong'
            figures.append(
                PageFigure(
                    drawn[found[0]],
                    f'Where the four prompts of PLOT look, in an image that it gets {word}',
                    plan_caption(plans[found[0]]),
                )
            )
    figures.append(
        PageFigure(
            out / 'nearest_words' / 'nearest_words.png',
            'The learned vectors of CoOp and the words nearest to them',
            'A line is one of the 16 vectors that CoOp puts around a name, with the nearest words of the captions that '
            'the model was pretrained on, and their distances. Green cells are close to their word; red ones are '
            'farther from it than twice the median distance between neighbouring words, so that the vector means '
            'something else.',
        )
    )
    return PageSection(
        'What was learned',
        'Transport plans say which places of an image a prompt answers for. The learned vectors themselves stand '
        'where words would be, but are none.',
        figures,
    )


def is_right(plan: Mapping[str, Any]) -> bool:
    """Whether the true class of a drawn plan is the predicted one."""
    return any('true' in row['note'] and 'predicted' in row['note'] for row in plan['classes'])


def plan_caption(plan: Mapping[str, Any]) -> str:
    first = plan['classes'][0]
    return (
        f'A row is a class, “{first["name"]}” ({100 * first["score"]:.0f} %) the predicted one; a column is a prompt. '
        'Red: the prompt has more of its mass here than an even share, blue: less. Prompts that have learned '
        'something split the work: some take the object, others what surrounds it.'
    )


# --------------------------------------------------------------------------------------------------- shipped adapters


def words_section(out: Path) -> PageSection:
    return PageSection(
        'Where the model finds a word',
        'Nothing was trained here: every place of the image is compared with a word, in the features of the image '
        'tower. Words need not be classes: they can be parts, or what is behind the objects.',
        [
            PageFigure(
                out / 'words.png',
                'One image, five words',
                'Red is similar to the word, blue is not; the cross is the best place. One colour scale for all.',
            )
        ],
    )


def segmentation_section(out: Path, tour: Tour) -> PageSection:
    metrics = tour.metrics[SEGMENTOR]
    layout = (
        'From the left: the image, the predicted and the true class of every pixel. Below: colours and names of the '
        'classes.'
    )
    return PageSection(
        'Segmentation: DenseCLIP',
        tested_on(
            SEGMENTOR,
            out / 'segmentation',
            f'{metrics["aAcc"]:.1f} % of the pixels are right, mIoU {metrics["mIoU"]:.1f} %.',
        ),
        example_figures(out / 'segmentation', layout, SEGMENTED),
    )


def detection_section(out: Path, tour: Tour) -> PageSection:
    layout = 'At the left what was found with a score of 30 % and more, at the right the truth.'
    return PageSection(
        'Detection: RetinaNet on DenseCLIP',
        tested_on(DETECTOR, out / 'detection', f'box mAP {100 * tour.metrics[DETECTOR]["coco/bbox_mAP"]:.1f} %.'),
        example_figures(out / 'detection', layout, DETECTED),
    )


def people_section(out: Path, tour: Tour) -> PageSection:
    metrics = tour.metrics[REIDENTIFIER]
    return PageSection(
        'Re-identification: CLIP-ReID',
        [
            'The shipped adapter ',
            Code(REIDENTIFIER),
            f' ({size_of(REIDENTIFIER)}) looks for a person in the images of other cameras; it has never seen these '
            f'people. The first image found is right for {metrics["reid/rank1"]:.1f} % of the queries.',
        ],
        [
            PageFigure(
                out / 'rank_lists.png',
                'Five queries, from the worst to the best, and the nearest images',
                'At the left the query, then the nearest images: green shows the same person, red another one. Below: '
                'the number of the person and of the camera (c1 to c4), and the average precision (AP) of the query in '
                'percent, whose mean over all queries is mAP. Look at what wrong ones have in common with the query.',
            )
        ],
    )


def tail_section(out: Path, tour: Tour) -> PageSection:
    rows = []
    for name, adapter in LONG_TAIL.items():
        found = tour.metrics[adapter]
        parts = ('shot/overall', 'shot/many', 'shot/medium', 'shot/few')
        rows.append([name, *(f'{found[part]:.1f} %' if part in found else '–' for part in parts)])
    return PageSection(
        'Rare and frequent classes: VPT and LPT',
        [
            'The shipped adapters ',
            Code(LONG_TAIL['VPT']),
            ' and ',
            Code(LONG_TAIL['LPT']),
            ', both visual prompts in a frozen transformer. A few classes have most of the training images, but all '
            'have the same number of test images. VPT learns with plain cross-entropy, LPT with prompts for groups of '
            'classes, balanced sampling and a loss for long tails.',
        ],
        [
            PageTable(['accuracy', 'all classes', 'many images', 'medium', 'few images'], rows),
            PageFigure(
                out / 'long_tail.png',
                'Accuracy along the tail',
                'Above: the training images of each class, on a logarithmic scale. Below: the accuracy of the same '
                f'classes, as a mean over neighbours.{gain_and_price(tour)}',
            ),
        ],
    )


def next_section(few_shot: FewShot) -> PageSection:
    return PageSection(
        'Go on from here',
        [
            'The demo has printed every command that it ran; the same commands work on your own images. ',
            Code('vlprompt list --adapters'),
            ' lists what ships with the package, ',
            Code('vlprompt predict --adapter builtin:coop_micro-rn IMAGE --out DIR'),
            ' tries it, and ',
            Code('vlprompt train coop_micro-rn --dataset folder --data-root DIR --test'),
            ' trains on a folder of your own images. Models for photographs and all methods: ',
            document('../README.md', 'README.md'),
            '.',
        ],
    )


# ------------------------------------------------------------------------------------------------------------ helpers


def document(name: str, text: str, anchor: str = '') -> Link | str:
    """A link to a file of the docs; its text alone where there are none."""
    path = DOCS / name
    return Link(text, path.resolve(), anchor) if path.is_file() else text


def above_or_below(points: float) -> str:
    """A difference of accuracies in words."""
    return f'{abs(points):.1f} points {"above" if points >= 0 else "below"}'


def gain_and_price(tour: Tour) -> str:
    """A sentence on VPT beside LPT, where it is true."""
    vpt, lpt = (tour.metrics[adapter] for adapter in (LONG_TAIL['VPT'], LONG_TAIL['LPT']))
    tested = {'shot/many', 'shot/few'} <= vpt.keys()
    if tested and vpt['shot/many'] > lpt['shot/many'] and vpt['shot/few'] < lpt['shot/few']:
        return ' What VPT gains at the head it pays for in the tail.'
    return ''


def example_figures(folder: Path, layout: str, texts: Mapping[int, tuple[str, str]]) -> list[PageFigure]:
    """Some test images, of which the first also explains how all are drawn.

    Args:
        folder: a picture for each test image, in their order.
        layout: what stands where in a picture.
        texts: number of a test image -> its title and caption.  A small test set may have none of these: then its first
            image is shown.
    """
    found = sorted(folder.glob('[0-9]*.png'))
    shown = {number: text for number, text in texts.items() if number < len(found)} or {0: ('The first test image', '')}
    return [
        PageFigure(found[number], title, caption if place else f'{layout} {caption}'.rstrip())
        for place, (number, (title, caption)) in enumerate(shown.items())
    ]


def tested_on(adapter: str, folder: Path, figures: str) -> list[Any]:
    """A text: a shipped adapter, the number of test images, of which each has a picture in the folder, and figures."""
    images = len(list(folder.glob('[0-9]*.png')))
    return ['The shipped adapter ', Code(adapter), f' ({size_of(adapter)}) on {images} images: {figures}']


def size_of(adapter: str) -> str:
    """Of a shipped adapter's tensors."""
    return f'{(BUILTIN_FOLDER / adapter.removeprefix(BUILTIN) / TENSORS).stat().st_size / 1e6:.1f} MB'
