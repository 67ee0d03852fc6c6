"""The words of the built-in world: what a scene may contain and how English names it.

Every table maps a canonical name (used in specs, labels and file names) to the words that captions may use for it; the
first word is the canonical name itself. Pure data, no imports, so that reading the names costs nothing.
"""

SHAPES = {
    'circle': ('circle', 'disc', 'disk'),
    'square': ('square', 'box'),
    'triangle': ('triangle',),
    'star': ('star',),
    'ring': ('ring', 'donut', 'hoop'),
    'cross': ('cross', 'plus sign'),
    'heart': ('heart',),
    'crescent': ('crescent', 'moon'),
    'diamond': ('diamond', 'rhombus'),
    'hexagon': ('hexagon',),
    'arrow': ('arrow', 'pointer'),
    'flower': ('flower', 'blossom', 'daisy'),
    'tree': ('tree', 'fir tree', 'pine'),
    'house': ('house', 'cottage', 'building'),
    'fish': ('fish',),
    'butterfly': ('butterfly', 'moth'),
    'mushroom': ('mushroom', 'toadstool'),
    'cloud': ('cloud',),
    'boat': ('boat', 'sailboat', 'ship'),
    'cup': ('cup', 'mug'),
}

# The part of a shape that may have a colour of its own.
PARTS = {
    'tree': ('trunk', 'stem'),
    'house': ('roof', 'rooftop'),
    'fish': ('tail', 'fin'),
    'butterfly': ('body',),
    'mushroom': ('stalk', 'foot'),
    'boat': ('sail', 'sails'),
    'cup': ('handle', 'grip'),
    'flower': ('centre', 'middle'),
}

COLOURS = {
    'red': ('red', 'scarlet', 'crimson'),
    'orange': ('orange',),
    'yellow': ('yellow', 'golden'),
    'green': ('green',),
    'teal': ('teal', 'turquoise', 'cyan'),
    'blue': ('blue',),
    'purple': ('purple', 'violet'),
    'pink': ('pink',),
    'brown': ('brown',),
    'white': ('white',),
    'black': ('black',),
}

RGB = {
    'red': (214, 40, 40),
    'orange': (245, 130, 32),
    'yellow': (250, 210, 50),
    'green': (50, 150, 60),
    'teal': (40, 190, 190),
    'blue': (40, 80, 205),
    'purple': (125, 60, 170),
    'pink': (245, 135, 180),
    'brown': (125, 80, 45),
    'white': (245, 245, 240),
    'black': (35, 35, 40),
}

FILLS = {
    'solid': ('solid', 'plain'),
    'striped': ('striped', 'lined'),
    'dotted': ('dotted', 'spotted', 'polka dot'),
    'checkered': ('checkered', 'chequered', 'checked'),
    'zigzag': ('zigzag', 'chevron'),
    'grid': ('grid', 'gridded', 'meshed'),
}

BACKGROUNDS = {
    'plain': ('a plain background', 'a simple background'),
    'gradient': ('a gradient background', 'a smooth background'),
    'brick': ('a brick wall', 'bricks'),
    'grass': ('grass', 'a lawn', 'a meadow'),
    'water': ('water', 'a lake', 'the sea'),
    'wood': ('a wooden table', 'wood', 'a wooden floor'),
    'sand': ('sand', 'a beach', 'the desert'),
    'stone': ('stone', 'a rock', 'gravel'),
    'snow': ('snow', 'ice'),
    'night': ('the night sky', 'a dark sky'),
    'sky': ('the sky', 'a cloudy sky'),
    'tiles': ('tiles', 'a tiled floor'),
}

# Styles: how a scene is drawn. A template's {} takes a noun phrase with its article ("a red star left of a blue ring"),
# {bare} takes the phrase of the main object without one ("red star").
STYLES = {
    'photo': (
        'a photo of {}.',
        'a photo of {}.',
        'a photo of {}',
        'a picture of {}.',
        'an image of {}.',
        'a photograph of {}.',
        'a good photo of {}.',
        'a close-up photo of {}.',
        'a cropped photo of {}.',
        'a photo of the {bare}.',
        'a photo of one {bare}.',
        'a photo of my {bare}.',
        'itap of {}.',
        'there is {}.',
        'this is {}.',
        'a nice {bare}.',
    ),
    'cartoon': (
        'a cartoon of {}.',
        'a cartoon {bare}.',
        'an illustration of {}.',
        'clip art of {}.',
        'an icon of {}.',
        'a picture of {}.',
        'an image of {}.',
        'a flat design of {}.',
        'a sticker of {}.',
        'this is {}.',
    ),
    'watercolour': (
        'a painting of {}.',
        'a watercolor of {}.',
        'a watercolor painting of {}.',
        'a painting of the {bare}.',
        'art of {}.',
        'a rendition of {}.',
        'a picture of {}.',
        'an artwork of {}.',
    ),
    'render': (
        'a rendering of {}.',
        'a 3d rendering of {}.',
        'a plastic {bare}.',
        'a toy {bare}.',
        'a shiny {bare}.',
        'the {bare} in a video game.',
        'a photo of {}.',
        'an image of {}.',
        'a sculpture of {}.',
    ),
    'origami': (
        'an origami {bare}.',
        'a paper {bare}.',
        'a folded paper {bare}.',
        'an origami of {}.',
        'a photo of {}.',
    ),
    'sketch': (
        'a sketch of {}.',
        'a drawing of {}.',
        'a pencil drawing of {}.',
        'a pencil sketch of {}.',
        'a doodle of {}.',
        'a black and white drawing of {}.',
        'a sketch of the {bare}.',
    ),
    'neon': (
        'a neon sign of {}.',
        'a glowing {bare}.',
        'a neon {bare}.',
        'neon lights in the form of {}.',
        'a picture of {}.',
    ),
    'mosaic': (
        'a mosaic of {}.',
        'a pixelated photo of {}.',
        'pixel art of {}.',
        'a mosaic {bare}.',
        'an image of {}.',
    ),
    'chalk': (
        'a chalk drawing of {}.',
        'a blackboard with {}.',
        'a drawing of {}.',
        'chalk art of {}.',
        'a {bare} on a blackboard.',
    ),
}

COMMON_STYLES = ('photo', 'cartoon', 'watercolour', 'render', 'origami')
RARE_STYLES = ('sketch', 'neon', 'mosaic', 'chalk')

# Styles that draw with lines of one or few colours show neither the colour of an object nor the background.
COLOURLESS_STYLES = ('sketch', 'chalk')
BACKDROP_STYLES = ('sketch', 'chalk', 'neon')

# Conditions a photograph may be taken under, with the words of CLIP's own templates.
CONDITIONS = {
    'normal': (),
    'blurry': ('a blurry photo of {}.', 'a low resolution photo of {}.', 'a bad photo of {}.'),
    'bright': ('a bright photo of {}.', 'a bright picture of {}.'),
    'dark': ('a dark photo of {}.', 'a dark picture of {}.'),
    'grey': ('a black and white photo of {}.', 'a gray photo of {}.'),
}

# Colours that would vanish against a background.
CAMOUFLAGE = {
    'snow': ('white',),
    'night': ('black',),
    'grass': ('green',),
    'wood': ('brown',),
    'brick': ('brown',),
    'sky': ('white',),
}
