"""Templates that have no place, or several, for the class name."""

import pytest

from tests.conftest import MICRO
from vlprompt.clip import build_clip
from vlprompt.models.heads import CosineHead
from vlprompt.prompts import ClassWeights, TemplatePrompt


@pytest.mark.parametrize('template', ['a {} {}', '{{}}', 'a {name}', 'a {0}', 'a }{ b', 'a photo'])
def test_the_template_is_named(template):
    text = build_clip(MICRO['vit']).text
    with pytest.raises(ValueError, match=r'must have \{\} for the class name once, and no other braces'):
        TemplatePrompt(['cat'], text, [template])
    with pytest.raises(ValueError, match=r'CosineHead: .* hold \{\} once, and no other braces'):
        CosineHead(8, 3, start='text', template=template)


@pytest.mark.parametrize('build', [TemplatePrompt, ClassWeights])
def test_some_template_is_needed(build):
    with pytest.raises(ValueError, match='TemplatePrompt: templates is empty; give one or more'):
        build(['cat'], build_clip(MICRO['vit']).text, [])


def test_the_name_stands_in_its_place():
    text = build_clip(MICRO['vit']).text
    assert TemplatePrompt(['cat', 'sea_lion'], text, 'a {}.').ids.shape[:2] == (1, 2)
