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

# The segmentation task: what is no object is background.
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
