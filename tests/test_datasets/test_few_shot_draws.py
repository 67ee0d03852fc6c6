import json
import random
from pathlib import Path

import pytest

from vlprompt.datasets.classification.few_shot import FewShotDataset
from vlprompt.datasets.classification.few_shot_draws import draw_few_shot, draw_shots, take_subset
from vlprompt.datasets.classification.items import Item

PINNED = json.loads((Path(__file__).parent / 'toy_draws.json').read_text())


def decode(text, names):
    """'label:number ...' -> items."""
    pairs = (word.split(':') for word in text.split())
    return [Item(f'{names[int(a)]}/img_{int(b):04d}.jpg', int(a), names[int(a)]) for a, b in pairs]


@pytest.fixture(scope='module')
def toy():
    return {split: decode(PINNED[split], PINNED['classes']) for split in ('train', 'val')}


@pytest.mark.parametrize('case', PINNED['draws'])
def test_draws_equal_the_reference_in_images_and_order(toy, case):
    shots, seed = (int(word.lstrip('abcdefghijklmnopqrstuvwxyz')) for word in case.split('_'))
    train, val = draw_few_shot(toy['train'], toy['val'], shots, seed)
    assert train == decode(PINNED['draws'][case]['train'], PINNED['classes'])
    assert val == decode(PINNED['draws'][case]['val'], PINNED['classes'])


def test_new_classes_are_selected_after_the_draw_and_renumbered(toy):
    names = PINNED['new_class_names']
    for split, drawn in zip(('train', 'val'), draw_few_shot(toy['train'], toy['val'], 4, 1), strict=True):
        assert take_subset(drawn, 12, 'new') == decode(PINNED['new_classes_shots4_seed1'][split], names)


def test_odd_number_of_classes_gives_base_one_more():
    items = [Item(str(label), label, f'class {label}') for label in range(11)]
    assert [item.label for item in take_subset(items, 11, 'base')] == [0, 1, 2, 3, 4, 5]
    new = take_subset(items, 11, 'new')
    assert [item.label for item in new] == [0, 1, 2, 3, 4]
    assert [item.name for item in new] == [f'class {label}' for label in range(6, 11)]
    assert take_subset(items, 11, 'all') == items
    with pytest.raises(ValueError, match="'base' or 'new', got 'half'"):
        take_subset(items, 11, 'half')


def test_small_classes_are_kept_whole_and_draw_nothing():
    few, many = [Item('f', 0, 'few')], [Item(f'm{i}', 1, 'many') for i in range(9)]
    drawn = draw_shots(few + many, 2, random.Random(5))
    assert drawn == few + random.Random(5).sample(many, 2)


def test_all_reference_draws(golden):
    folder = Path(golden.__file__).parent / 'plot'
    reference = json.loads((folder / 'fewshot.json').read_text())

    def paths(dataset):
        return [Path(dataset.get_data_info(i)['img_path']).relative_to(folder).as_posix() for i in range(len(dataset))]

    for case, expected in reference['fewshot'].items():
        shots, seed = (int(word.lstrip('abcdefghijklmnopqrstuvwxyz')) for word in case.split('_'))
        for split in ('train', 'val'):
            dataset = FewShotDataset(str(folder), ann_file='toy_split.json', split=split, shots=shots, seed=seed)
            assert paths(dataset) == expected[split], (case, split)
    for case, expected in reference['subsample']['results'].items():
        subset, shots, seed = case.split('_')
        shots, seed = int(shots.removeprefix('shots')), int(seed.removeprefix('seed'))
        for split in ('train', 'val', 'test'):
            dataset = FewShotDataset(
                str(folder),
                ann_file='toy_split.json',
                split=split,
                shots=None if shots < 0 else shots,
                seed=seed,
                subset=subset,
            )
            labels = [dataset.get_cat_ids(i)[0] for i in range(len(dataset))]
            names = [dataset.metainfo['classes'][label] for label in labels]
            found = [list(entry) for entry in zip(paths(dataset), labels, names, strict=True)]
            assert found == expected[split], (case, split)
        assert dataset.metainfo['classes'] == expected['classnames']


def test_the_draws_of_clip_lora(golden):
    """Validation images first, short classes with replacement."""
    folder = Path(golden.__file__).parent
    reference = json.loads((folder / 'few_shot/fewshot_cliplora_a.json').read_text())['fewshot']
    assert len(reference) == 3
    for case, expected in reference.items():
        shots, seed = (int(word.lstrip('abcdefghijklmnopqrstuvwxyz')) for word in case.split('_'))
        options = dict(ann_file='toy_split.json', shots=shots, seed=seed, draw='clip-lora')
        for split in ('train', 'val'):
            dataset = FewShotDataset(str(folder / 'plot'), split=split, **options)
            found = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
            assert [Path(path).relative_to(folder / 'plot').as_posix() for path in found] == expected[split]


def test_clip_lora_repeats_images_of_short_classes():
    few = [Item(f'f{i}', 0, 'few') for i in range(2)]
    train, val = draw_few_shot(few, few, 5, 1, 'clip-lora')
    rng = random.Random(1)
    assert val == rng.choices(few, k=4)
    assert train == rng.choices(few, k=5)
    assert draw_few_shot(few, few, 5, 1) == (few, few)


def test_unknown_draw():
    with pytest.raises(ValueError, match="draw='dassl' must be one of coop, clip-lora"):
        FewShotDataset('nowhere', draw='dassl')
