"""Captioned images for pretraining: what is said of images, regions and people is true."""

from collections import Counter

import numpy as np
import pytest

from vlprompt.datasets.generated.captions import attributes
from vlprompt.datasets.generated.people import describe_person, name_lower, name_upper, person_attributes, sample_person
from vlprompt.datasets.generated.pretraining import HELD_OUT, pretraining_example, style_weights
from vlprompt.datasets.generated.render import render
from vlprompt.datasets.generated.shapes import PART_LAYERS, rasterise
from vlprompt.datasets.generated.spec import ObjectSpec, sample_spec
from vlprompt.datasets.generated.tasks import class_spec
from vlprompt.datasets.generated.vocabulary import COLOURS, FILLS, PARTS, RGB, SHAPES

SIZE = 64


@pytest.fixture(scope='module')
def examples():
    return [pretraining_example(3, index, SIZE, rare_share=0.4) for index in range(80)]


def test_an_example_is_a_function_of_its_arguments():
    first, again = pretraining_example(3, 5, SIZE), pretraining_example(3, 5, SIZE)
    assert np.array_equal(first.image, again.image)
    assert first.captions == again.captions
    assert [region.phrase for region in first.regions] == [region.phrase for region in again.regions]
    assert not np.array_equal(first.image, pretraining_example(3, 6, SIZE).image)


def test_every_claim_holds_of_a_region(examples):
    for example in examples:
        for caption in example.captions:
            for claim in caption.claims:
                assert any(claim <= region.truth for region in example.regions), caption.text


def test_regions_have_what_their_phrases_claim(examples):
    kinds = Counter()
    for example in examples:
        for region in example.regions:
            (claim,) = region.phrase.claims
            assert claim <= region.truth
            assert region.mask.shape == (SIZE, SIZE)
            kinds.update(kind for kind, _ in claim)
    assert {'shape', 'colour', 'fill', 'part', 'part of', 'place', 'upper', 'lower'} <= set(kinds)


def test_phrases_say_what_they_claim(examples):
    """Of a canonical name or a synonym of it, and nothing else of that kind."""
    tables = dict(shape=SHAPES, fill=FILLS)
    for example in examples:
        for region in example.regions:
            (claim,) = region.phrase.claims
            if ('shape', 'person') in claim or any(kind in ('upper', 'lower', 'place', 'part of') for kind, _ in claim):
                continue
            for kind, table in tables.items():
                said = {
                    name for name, words in table.items() if any(f' {w} ' in f' {region.phrase.text} ' for w in words)
                }
                assert said == {name for key, name in claim if key == kind} | (said & {'plain'}), region.phrase.text


def test_parts_that_are_held_out_occur_nowhere(examples):
    held_out = set(HELD_OUT)
    seen = set()
    for index in range(300):
        spec = sample_spec(np.random.RandomState(index), size=SIZE, parts=1.0, avoid=HELD_OUT)
        seen |= {(item.part_colour, item.shape) for item in spec.objects}
    assert not seen & held_out
    assert {shape for _, shape in held_out} <= {shape for colour, shape in seen if colour}
    for example in examples:
        for region in example.regions:
            assert not any({('part', colour), ('shape', shape)} <= region.truth for colour, shape in held_out)
            assert not any({('part', colour), ('part of', shape)} <= region.truth for colour, shape in held_out)


def test_rare_styles_share_their_weight():
    weights = style_weights(0.06)
    assert sum(weights.values()) == pytest.approx(1)
    assert weights['chalk'] == pytest.approx(0.06 / 4)


@pytest.mark.parametrize('shape', PARTS)
def test_a_part_lies_inside_of_its_shape_and_leaves_some_of_it(shape):
    whole, part = rasterise(shape, SIZE, (0.5, 0.5), 0.4, 0.0)
    seen = (part > 127).sum() / (whole > 127).sum()
    assert not ((part > 127) & (whole < 127)).any()
    assert 0.02 < seen < 0.7


def test_parts_are_those_that_have_names():
    assert set(PARTS) == set(PART_LAYERS)
    words = [word for table in (SHAPES, COLOURS, FILLS, PARTS) for names in table.values() for word in names]
    assert len(words) == len(set(words))


def test_a_part_has_its_colour_and_the_rest_has_not():
    spec = class_spec(
        'red house', np.random.RandomState(0), counts=(1,), size=96, styles=('cartoon',), fills=('solid',)
    )
    house = ObjectSpec('house', 'red', 'solid', 'red', (0.5, 0.5), 0.4, 0.0, part_colour='blue')
    scene = render(type(spec)(96, 'cartoon', 'plain', 'normal', (house,), 5))
    (item,) = scene.objects
    inner = scene.image[item.part].reshape(-1, 3).astype(float)
    outer = scene.image[item.mask & ~item.part].reshape(-1, 3).astype(float)
    assert np.abs(np.median(inner, 0) - np.float64(RGB['blue']) * 1.08).max() < 8
    assert np.abs(np.median(outer, 0) - np.float64(RGB['red']) * 1.08).max() < 8
    assert ('part', 'blue') in attributes(house)


def test_people_are_described_by_what_they_wear():
    for seed in range(40):
        person, rng = sample_person(np.random.RandomState(seed)), np.random.RandomState(seed)
        truth = person_attributes(person)
        for caption in (describe_person(person, rng), name_upper(person, rng), name_lower(person, rng)):
            assert caption.claims[0] <= truth
        full = describe_person(person, rng, full=True)
        assert {('upper', person.names['upper']), ('lower', person.names['lower'])} <= full.claims[0]
        assert person.names['shoes'] in full.text
        assert (person.bag in full.text) == (person.bag != 'none')
