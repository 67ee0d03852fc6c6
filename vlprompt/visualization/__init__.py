"""Pictures of learned models: transport plans, score maps, nearest words, predictions, training curves.

Plain functions on tensors and arrays that return figures or images; ``tools/analysis_tools`` calls them.
"""

from vlprompt.visualization.comparisons import Group, choose_images, draw_comparison, draw_confusions
from vlprompt.visualization.curves import Level, Run, draw_curves, read_level, read_run, read_runs
from vlprompt.visualization.figures import (
    figure_to_image,
    read_image,
    save_figure,
    show_picture,
    title_of,
    to_uint8_image,
)
from vlprompt.visualization.heatmaps import overlay_heatmap, to_grid
from vlprompt.visualization.long_tail import draw_long_tail, draw_projection, draw_prompt_usage
from vlprompt.visualization.nearest_words import (
    ContextWords,
    NearWord,
    draw_words,
    format_words,
    nearest_words,
    spacing_note,
    table_spacing,
    words_to_json,
)
from vlprompt.visualization.objects import Objects, draw_objects, objects_of, paint_objects
from vlprompt.visualization.page import Code, Link, PageFigure, PageSection, PageTable, write_page
from vlprompt.visualization.predictions import draw_prediction
from vlprompt.visualization.rank_lists import RankList, draw_rank_lists, rank_lists
from vlprompt.visualization.segmentation import (
    Segmentation,
    blend_mask,
    draw_image,
    draw_score_maps,
    draw_segmentation,
    fit_longest_side,
)
from vlprompt.visualization.transport_plans import (
    ClassPlan,
    class_plans,
    deviation_limit,
    draw_transport_plans,
    relative_plan,
)

__all__ = [
    'ClassPlan',
    'Code',
    'ContextWords',
    'Group',
    'Level',
    'Link',
    'NearWord',
    'Objects',
    'PageFigure',
    'PageSection',
    'PageTable',
    'RankList',
    'Run',
    'Segmentation',
    'blend_mask',
    'choose_images',
    'class_plans',
    'deviation_limit',
    'draw_comparison',
    'draw_confusions',
    'draw_curves',
    'draw_image',
    'draw_long_tail',
    'draw_objects',
    'draw_prediction',
    'draw_projection',
    'draw_prompt_usage',
    'draw_rank_lists',
    'draw_score_maps',
    'draw_segmentation',
    'draw_transport_plans',
    'draw_words',
    'figure_to_image',
    'fit_longest_side',
    'format_words',
    'nearest_words',
    'objects_of',
    'overlay_heatmap',
    'paint_objects',
    'rank_lists',
    'read_image',
    'read_level',
    'read_run',
    'read_runs',
    'relative_plan',
    'save_figure',
    'show_picture',
    'spacing_note',
    'table_spacing',
    'title_of',
    'to_grid',
    'to_uint8_image',
    'words_to_json',
    'write_page',
]
