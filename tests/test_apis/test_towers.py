"""The table of architectures and weights."""

from open_clip import pretrained

from vlprompt.apis.towers import known_weights, towers_table
from vlprompt.clip.architectures import QUICK_GELU_SUFFIX

REFUSED = ('coca', 'roberta', 'xlm', 'nllb', 'clipa', 'worldwide')
"""Parts of the names of models of open_clip with other towers: CoCa, Hugging Face text, CLIPA, MetaCLIP 2."""


def test_every_model_with_weights_is_known_or_of_another_kind():
    found = {(known.arch.name, tag) for known in known_weights() for tag in known.weights}
    names = {name.replace('/', '-').replace('@', '-').removesuffix('px') for name, _ in found}
    missing = {name.removesuffix(QUICK_GELU_SUFFIX) for name, _ in pretrained.list_pretrained()} - names
    assert missing
    assert not [name for name in missing if not any(part in name.lower() for part in REFUSED)]
    assert len(found) > 140
    assert {('micro-rn', 'labels'), ('ViT-B/16', 'openai'), ('ViT-B-16-SigLIP', 'webli')} <= found


def test_tags_that_want_other_images_have_rows_of_their_own():
    rows = {known.weights[0]: str(known.preprocessing) for known in known_weights(['ViT-L-14'])}
    assert rows['laion2b_s32b_b82k'] == 'shortest, bicubic, 0.5/0.5'
    assert rows['openai'] == 'shortest, bicubic, CLIP'


def test_words_and_patterns():
    assert '| PE-Core-B-16 | meta | 224 | 1024 | vit_pe_core_base_patch16_224 | CLIP | squash' in towers_table(
        ['pe-core']
    )
    assert towers_table(['no such tower']) == ''
    assert towers_table(['ViT-B/32@256px']) == towers_table(['vit-b-32-256'])
