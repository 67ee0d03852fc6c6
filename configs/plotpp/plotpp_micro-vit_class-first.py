# PLOT++ with templates that name the class first, as a language model wrote them; the built-in micro ViT.
#   vlprompt train plotpp_micro-vit_class-first --test
# Templates of your own, a line each (configs/plotpp/README.md says how to ask a language model for them):
#   vlprompt train plotpp_micro-vit_class-first --test --cfg-options model.prompt.init=my.txt
_base_ = './plotpp_micro-vit.py'

model = dict(
    prompt=dict(
        position='front',
        init=['{} drawn on a page', '{} seen in a scene', '{} shown as an object', '{} placed in a picture'],
    )
)
