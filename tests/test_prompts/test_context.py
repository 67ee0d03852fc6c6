"""Context prompts, row by row: where each embedding lands, what is learned, what is refused."""

import pytest
import torch

from vlprompt.clip import build_clip
from vlprompt.clip.text.tokenizer import CLIP_TOKENIZER, tokenize
from vlprompt.prompts import ContextPrompt, TemplatePrompt

NAMES = ['face', 'sea_lion', "jack-o'-lantern", '2012 Audi S4 Sedan']
CTX = 6


@pytest.fixture(scope='module')
def text():
    from tests.conftest import MICRO

    torch.manual_seed(0)
    return build_clip(arch=MICRO['rn']).text.requires_grad_(False)


def expected_rows(prompt, text, name, context):
    """(L, W) embeddings of one class put together token by token."""
    embed = text.token_embedding.weight
    words = name.replace('_', ' ')
    ids = tokenize([f'{words}.'])[0]
    length = int(tokenize([words])[0].argmax()) - 1
    start, name_ids, rest = ids[:1], ids[1 : 1 + length], ids[1 + length : int(ids.argmax()) + 1]
    half = CTX // 2
    parts = {
        'end': [embed[start], context, embed[name_ids], embed[rest]],
        'middle': [embed[start], context[:half], embed[name_ids], context[half:], embed[rest]],
        'front': [embed[start], embed[name_ids], context, embed[rest]],
    }[prompt.position]
    return torch.cat(parts)


@pytest.mark.parametrize('class_specific', [False, True])
@pytest.mark.parametrize('position', ['end', 'middle', 'front'])
def test_every_row_lands_where_coop_puts_it(text, position, class_specific):
    prompt = ContextPrompt(NAMES, text, 2, CTX, class_specific, position)
    tokens = prompt(text)
    embeddings = tokens.embeddings(text.context_length)
    for p in range(2):
        for k, name in enumerate(NAMES):
            context = prompt.context[p, k] if class_specific else prompt.context[p]
            rows = expected_rows(prompt, text, name, context)
            assert tokens.eot[p, k] == len(rows) - 1
            torch.testing.assert_close(embeddings[p, k, : len(rows)], rows, atol=0, rtol=0)


@pytest.mark.parametrize(
    ('position', 'class_specific', 'shared'),
    [('end', False, 1 + CTX), ('middle', False, 1 + CTX // 2), ('front', False, 1), ('end', True, 1)],
)
def test_what_all_classes_share_is_the_prefix(text, position, class_specific, shared):
    tokens = ContextPrompt(NAMES, text, 2, CTX, class_specific, position)(text)
    assert tokens.prefix.shape[:2] == (2, shared)


@pytest.mark.parametrize('class_specific', [False, True])
@pytest.mark.parametrize('position', ['end', 'middle', 'front'])
def test_fast_path_equals_reference_with_gradient(text, position, class_specific):
    prompt = ContextPrompt(NAMES, text, 3, CTX, class_specific, position)
    results = []
    for reference in (False, True):
        features = prompt.encode(text, reference=reference)
        weights = torch.linspace(-1, 1, features.numel()).view_as(features)
        (gradient,) = torch.autograd.grad((features * weights).sum(), prompt.context)
        results.append((features, gradient))
    for fast, full in zip(*results, strict=True):
        assert (fast - full).abs().max() < 1e-5 * full.abs().max()


def test_published_parameter_counts():
    """CoOp 8,192 and PLOT (N=4) 32,768 at the width of CLIP's text tower, 512."""
    from types import SimpleNamespace

    wide = SimpleNamespace(tokenizer=CLIP_TOKENIZER, width=512, context_length=77)
    assert ContextPrompt(NAMES, wide, 1, 16).context.numel() == 8192
    assert ContextPrompt(NAMES, wide, 4, 16).context.numel() == 32768
    assert ContextPrompt(NAMES, wide, 1, 16, class_specific=True).context.numel() == 4 * 8192


def test_init_from_words_and_from_templates(text):
    embed = text.token_embedding.weight
    prompt = ContextPrompt(NAMES, text, n_prompts=2, init='a photo of a')
    ids = tokenize(['a photo of a'])[0, 1:5]
    assert prompt.n_ctx == 4
    torch.testing.assert_close(prompt.context.detach(), embed[ids].expand(2, -1, -1))
    prompt = ContextPrompt(NAMES, text, n_prompts=2, init=['a photo of a', 'this is a photo'], class_specific=True)
    ids = tokenize(['this is a photo'])[0, 1:5]
    torch.testing.assert_close(prompt.context[1].detach(), embed[ids].expand(len(NAMES), -1, -1))
    assert prompt.context.requires_grad


def test_context_from_words_is_the_template_prompt(text):
    """Started from 'a photo of a', a learned prompt says exactly 'a photo of a {}.'."""
    learned = ContextPrompt(NAMES, text, init='a photo of a').encode(text)
    fixed = TemplatePrompt(NAMES, text, 'a photo of a {}.').encode(text)
    torch.testing.assert_close(learned, fixed, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(position='back'), 'position'),
        (dict(n_prompts=0), 'n_prompts'),
        (dict(n_ctx=0), 'n_ctx'),
        (dict(n_prompts=2, init=['a photo of a', 'this is a']), 'same token count'),
        (dict(n_prompts=3, init=['a photo', 'a drawing']), 'n_prompts=3'),
        (dict(init='a photo of a', n_ctx=16), 'n_ctx=16'),
        (dict(init=''), 'token count'),
    ],
)
def test_bad_arguments_are_named(text, kwargs, message):
    with pytest.raises(ValueError, match=message):
        ContextPrompt(NAMES, text, **kwargs)


def test_a_name_that_does_not_fit_is_named(text):
    long = 'very ' * 60 + 'long'
    with pytest.raises(ValueError, match='very very'):
        ContextPrompt(['face', long], text, n_ctx=16)


def test_class_sets_change_only_where_nothing_belongs_to_a_class(text):
    shared = ContextPrompt(NAMES, text, 2, CTX)
    before = shared.encode(text)
    shared.set_class_names(['okapi', 'face'])
    after = shared.encode(text)
    torch.testing.assert_close(after[:, 1], before[:, 0], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match='class_specific=False'):
        ContextPrompt(NAMES, text, 2, CTX, class_specific=True).set_class_names(['okapi', 'face'])


def test_templates_need_a_slot_and_ensembles_stack(text):
    with pytest.raises(ValueError, match='a photo'):
        TemplatePrompt(NAMES, text, ['a photo'])
    prompt = TemplatePrompt(NAMES, text, 'ensemble-7')
    assert prompt.encode(text).shape[:2] == (prompt.n_prompts, len(NAMES)) == (7, 4)
    torch.testing.assert_close(prompt.encode(text), text(prompt(text), reference=True), atol=1e-5, rtol=1e-5)


def test_denseclip_contexts(text):
    """[SOT] 8 vectors, bare name, [EOT], in 13 positions; vectors from a normal distribution cut at 2 sigma."""
    prompt = ContextPrompt(NAMES[:2], text, n_ctx=8, ending='', context_length=13, init_std=1.0, init_cut=2.0)
    embeddings = prompt(text).embeddings(13)
    for k, name in enumerate(['face', 'sea lion']):
        ids = tokenize([name], 5)[0]
        rows = text.token_embedding(ids)
        end = int(ids.argmax())
        expected = torch.cat([rows[:1], prompt.context[0], rows[1 : end + 1]])
        torch.testing.assert_close(embeddings[0, k, : 9 + end], expected, atol=0, rtol=0)
        assert prompt.layout.ends[0][k] == 8 + end
    wide = ContextPrompt(NAMES[:1], text, n_ctx=60, init_std=1.0, init_cut=2.0).context
    assert wide.abs().max() <= 2
    assert wide.std().item() == pytest.approx(0.88, abs=0.03)


def test_what_does_not_fit_a_given_context_length(text):
    with pytest.raises(ValueError, match=r"'2012 Audi S4 Sedan' takes \d+ tokens.*context_length=1\d.*is 13"):
        ContextPrompt(NAMES, text, n_ctx=8, ending='', context_length=13)
    with pytest.raises(ValueError, match='context_length=78'):
        ContextPrompt(NAMES, text, context_length=78)


def test_contexts_of_images_replace_the_parameter(text):
    prompt = ContextPrompt(NAMES, text, n_ctx=CTX)
    contexts = torch.randn(3, CTX, text.width)
    features = text(prompt(text, contexts))
    assert features.shape[:2] == (3, len(NAMES))
    prompt.context.data.copy_(contexts[1:2])
    torch.testing.assert_close(features[1:2], prompt.encode(text), atol=1e-5, rtol=1e-5)


def test_words_beyond_the_vectors_stay_fixed(text):
    """MaPLe: 'a photo of a' with two learned vectors; the template still reads the same before training."""
    prompt = ContextPrompt(NAMES, text, n_ctx=2, init='a photo of a')
    ids = tokenize(['a photo of a'])[0, 1:5]
    embed = text.token_embedding.weight
    torch.testing.assert_close(prompt.context[0].detach(), embed[ids[:2]], atol=0, rtol=0)
    assert [name for name, _ in prompt.named_parameters()] == ['context']
    tokens = prompt(text)
    torch.testing.assert_close(tokens.prefix[0, 3:], embed[ids[2:]], atol=0, rtol=0)
    assert tokens.shared_length == 5
    fixed = TemplatePrompt(NAMES, text, 'a photo of a {}.').encode(text)
    torch.testing.assert_close(prompt.encode(text), fixed, atol=1e-5, rtol=1e-5)
    assert not prompt.state_dict().keys() - {'context'}


@pytest.mark.parametrize('class_specific', [False, True])
@pytest.mark.parametrize('contexts', [1, 3], ids=['the parameter', 'of three images'])
def test_prompts_may_have_other_numbers_of_fixed_words(text, class_specific, contexts):
    """Every prompt is its own template, however many words it has; vectors of images too."""
    templates = [
        'a centered satellite photo of',
        'this is one centered satellite photo of a',
        'a centered satellite photo',
    ]
    prompt = ContextPrompt(NAMES, text, 3, 3, class_specific, init=templates)
    context = prompt.context.detach().repeat(contexts, *[1] * (prompt.context.dim() - 1))
    tokens = prompt(text, context)
    assert len(tokens.prefix) == 3 * contexts
    for reference in (False, True):
        features = text(tokens, reference=reference).unflatten(0, (contexts, 3))
        for p, template in enumerate(templates):
            fixed = TemplatePrompt(NAMES, text, f'{template} {{}}.').encode(text)[0]
            for image in range(contexts):
                torch.testing.assert_close(features[image, p], fixed, atol=1e-5, rtol=1e-5)


def test_fixed_words_need_room_and_a_place(text):
    with pytest.raises(ValueError, match="position must be 'end', got 'front'"):
        ContextPrompt(NAMES, text, n_ctx=2, init='a photo of a', position='front')
    with pytest.raises(
        ValueError, match=r"'face' takes 2 tokens; with 4 context vectors and fixed.*context_length=8, but"
    ):
        ContextPrompt(['face'], text, n_ctx=2, init='a photo of a', context_length=7)
    assert ContextPrompt(['face'], text, n_ctx=2, init='a photo of a', context_length=8).layout.ends == ((7,),)


def test_deep_vectors_are_inserted_by_block(text):
    prompt = ContextPrompt(NAMES, text, n_prompts=2, n_ctx=CTX, depth=2)
    assert prompt.deep.shape == (1, 2, CTX, text.width)
    assert [v.shape for v in prompt.vectors()] == [prompt.context.shape] * 2
    assert prompt(text).deep[0].equal(prompt.deep[0])
    assert ContextPrompt(NAMES, text).deep is None
    images = prompt(text, prompt.context.repeat(3, 1, 1))
    assert images.deep[0].equal(prompt.deep[0].repeat(3, 1, 1))
    features = prompt.encode(text)
    torch.testing.assert_close(text(images)[2:4], features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(prompt.encode(text, reference=True), features, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        prompt.deep.mul_(2)
    assert not torch.allclose(prompt.encode(text), features)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(depth=0), 'depth=0 must be from 1 to 2'),
        (dict(depth=3), 'depth=3 must be from 1 to 2'),
        (dict(depth=2, position='middle'), "position='end' and class_specific=False, got 'middle'"),
        (dict(depth=2, class_specific=True), 'got .end. and True'),
    ],
)
def test_depth_is_checked(text, kwargs, message):
    with pytest.raises(ValueError, match=message):
        ContextPrompt(NAMES, text, **kwargs)


def test_words_from_a_file_with_the_place_of_the_name(text, tmp_path):
    file = tmp_path / 'words.txt'
    file.write_text('a photo of a {}.\n\nthis is the picture {}\n')
    prompt = ContextPrompt(NAMES, text, 2, init=str(file))
    assert torch.equal(
        prompt.context, ContextPrompt(NAMES, text, 2, init=['a photo of a', 'this is the picture']).context
    )
    file.write_text('{} in the sea.\n{} on a page\n')
    front = ContextPrompt(NAMES, text, 2, position='front', init=str(file))
    assert torch.equal(front.context, ContextPrompt(NAMES, text, 2, init=['in the sea', 'on a page']).context)
    with pytest.raises(FileNotFoundError, match=r'none\.txt'):
        ContextPrompt(NAMES, text, 2, init=str(tmp_path / 'none.txt'))


@pytest.mark.parametrize(
    ('init', 'position'),
    [
        ('{} in the sea', 'end'),
        ('a photo of a {}', 'front'),
        ('a photo of {} at night', 'end'),
        ('{} at sea', 'middle'),
    ],
)
def test_words_with_the_name_elsewhere(text, init, position):
    with pytest.raises(ValueError, match=f'does not have the class name where position={position!r}'):
        ContextPrompt(NAMES, text, init=init, position=position)


def test_words_on_both_sides_of_the_name(text):
    """Half of them come before it, and none is lost."""
    prompt = ContextPrompt(NAMES, text, init='seen {} by night.', position='middle')
    assert torch.equal(prompt.context, ContextPrompt(NAMES, text, init='seen by night', position='middle').context)
    with pytest.raises(ValueError, match=r'has 3 of its 5 tokens before the class name, .* puts 2 of 5 vectors there'):
        ContextPrompt(NAMES, text, init='a photo of {} by night', position='middle')
