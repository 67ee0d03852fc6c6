"""Class names of the tasks made from the built-in world. Pure data: importing this file costs nothing."""

# The few-shot task: every name says three things (an object, the colour of one of its parts, the place), each of which
# it shares with half or a quarter of the other classes, so no two of them are enough to tell the classes apart.
SCENE_CLASSES = tuple(
    f'{thing} with {colour} {part} on {place}'
    for thing, part in (('house', 'roof'), ('boat', 'sail'), ('mushroom', 'stalk'), ('cup', 'handle'))
    for colour in ('an orange', 'a purple')
    for place in ('grass', 'sand')
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

# Segmentation and detection: every class has another one that looks like it and differs by a word.
OBJECT_CLASSES = (
    *(
        f'{thing} with {colour} {part}'
        for thing, part in (
            ('house', 'roof'),
            ('boat', 'sail'),
            ('mushroom', 'stalk'),
            ('cup', 'handle'),
            ('fish', 'tail'),
            ('butterfly', 'body'),
        )
        for colour in ('an orange', 'a purple')
    ),
    'striped star',
    'dotted star',
    'striped heart',
    'checkered heart',
    'dotted circle',
    'grid circle',
    'checkered square',
    'zigzag square',
)

# Pixels outside of objects are background.
SEGMENTATION_CLASSES = ('background', *OBJECT_CLASSES)
