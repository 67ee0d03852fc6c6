"""Class names of the tasks made from the built-in world. Pure data: importing this file costs nothing."""

# The few-shot task: a fill and a shape. Each fill meets several shapes and each shape several fills, so neither half
# of a name is enough to tell the classes apart.
SCENE_CLASSES = (
    'striped star',
    'dotted star',
    'checkered heart',
    'striped heart',
    'dotted circle',
    'grid circle',
    'zigzag square',
    'checkered square',
    'grid triangle',
    'zigzag triangle',
    'striped flower',
    'dotted flower',
)

# The long-tailed task: each of five fills in each of eight colours, on whatever shape, from head to tail.  Neighbours
# in the list differ in both, so the frequent classes show every fill and every colour that the rare ones are made of.
_FILLS = ('striped', 'dotted', 'checkered', 'zigzag', 'grid')
_COLOURS = ('red', 'orange', 'green', 'teal', 'blue', 'purple', 'pink', 'brown')
LONG_TAILED_CLASSES = tuple(
    f'{_COLOURS[(turn + 3 * number) % len(_COLOURS)]} {fill}'
    for turn in range(len(_COLOURS))
    for number, fill in enumerate(_FILLS)
)

# The segmentation task: pixels outside objects are background.
SEGMENTATION_CLASSES = (
    'background',
    'circle',
    'square',
    'triangle',
    'star',
    'heart',
    'flower',
    'tree',
    'house',
    'fish',
    'cup',
)
