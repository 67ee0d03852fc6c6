"""A page in the browser: images and words in; scores, maps, transport plans, regions and nearest images out.

vlprompt web-demo
vlprompt web-demo --models zero-shot_vit-b16 plot_rn50=work_dirs/plot_rn50/epoch_200.pth --device cuda
vlprompt web-demo --models clipreid_vit-b16=epoch_60.pth --gallery people

Needs gradio: pip install "vlprompt[demo]". Without options it shows the built-in models and adapters, which need no
download and know drawings alone, on pictures of the built-in world. A model of --models is CONFIG, CONFIG=CHECKPOINT,
or an adapter: a folder, builtin:NAME or hf-hub:ORG/NAME; it stands first in every tab that it fits. --gallery is a
folder of images, at any depth, among which the nearest are looked for; without it, people of the built-in world.

The page is for this machine alone (127.0.0.1), and neither it nor the program uses the network, unless a model of
--models must be downloaded. To see it from another machine: ssh -L 7860:127.0.0.1:7860 HOST. See docs/web_demo.md.
"""

from __future__ import annotations

import argparse
import functools
import html
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlprompt.apis.command_line import ToolParser, before_imports, call, natural, user_message

if TYPE_CHECKING:
    import gradio as gr


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument(
        '--models', nargs='+', default=[], metavar='MODEL', help='CONFIG, CONFIG=CHECKPOINT or an adapter'
    )
    parser.add_argument('--gallery', type=Path, metavar='DIR', help='folder of images to look for the nearest in')
    parser.add_argument('--device', default='cpu', help='such as cuda or cuda:1')
    parser.add_argument('--port', type=natural, default=7860, help='of the page')
    parser.add_argument('--open', action='store_true', help='open the page in the browser')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

from PIL import Image

from vlprompt.apis import Inferencer, find_images, init_inferencer
from vlprompt.apis.web_demo import Demo, Gallery, has_maps, has_plans
from vlprompt.clip.local_tokens import PUBLISHED
from vlprompt.datasets.generated.reid import ReIDImage, draw_reid
from vlprompt.datasets.generated.tasks import TRAIN_STYLES, class_scene
from vlprompt.errors import EnvironmentProblem, RunError

UNTRAINED = ('zero-shot_micro-rn', 'zero-shot_micro-vit', 'value_micro-rn', 'naclip_micro-vit')
"""Configs that need no training, and have no classes but those that are written."""
ADAPTERS = (
    'builtin:coop_micro-rn',
    'builtin:plot_micro-rn',
    'builtin:denseclip_micro-rn',
    'builtin:retinanet_denseclip-micro-rn',
    'builtin:clipreid_micro-vit',
)
"""Shipped adapters, at least one for each tab."""

SCENES = (
    ('house with a red roof on grass', 3, 'house, ring, boat, grass'),
    ('butterfly with an orange body', 1, 'butterfly, mushroom, cup, sky'),
    ('boat with a purple sail', 5, 'boat, heart, star, night sky'),
    ('mushroom with an orange stalk on grass', 7, 'mushroom, tree, cup, grass'),
)
"""Scenes of the built-in world, their seeds, and words to ask for."""
SCENE_OPTIONS = dict(size=320, styles=TRAIN_STYLES, counts=(0.2, 0.8), radius=(0.2, 0.4), parts=0.5)
PERSON_HEIGHT = 128
PEOPLE, CAMERAS = range(61, 77), range(4)
"""Of the built-in gallery: people on whom no config of clipreid trains."""
AS_THE_MODEL = "the model's own"


def build_demo(args: argparse.Namespace) -> Demo:
    """The models of the command line, the built-in ones, and the gallery."""
    models: dict[str, Inferencer] = {}
    for config, _, checkpoint in (model.partition('=') for model in args.models):
        name = ', '.join(filter(None, [Path(config).stem, '/'.join(Path(checkpoint).parts[-2:])]))
        number = sum(other.startswith(name) for other in (*models, *UNTRAINED, *ADAPTERS))
        name = f'{name} ({number + 1})' if number else name
        models[name] = init_inferencer(config, checkpoint or None, device=args.device)
    for name in (*UNTRAINED, *ADAPTERS):
        models[name] = init_inferencer(name, device=args.device)
    return Demo(models, UNTRAINED, people_gallery() if args.gallery is None else folder_gallery(args.gallery))


def folder_gallery(folder: Path) -> Gallery:
    images = find_images(folder)
    return Gallery(images, [str(path.relative_to(folder)) for path in images])


def people_gallery() -> Gallery:
    shots = [(pid, camera, number) for pid in PEOPLE for camera in CAMERAS[1:] for number in range(2)]
    return Gallery([person(*shot) for shot in shots], [f'person {shot[0]}' for shot in shots])


def person(pid: int, camera: int, number: int = 0) -> Image.Image:
    """Of the built-in world."""
    return Image.fromarray(draw_reid(ReIDImage('', pid, camera, number), height=PERSON_HEIGHT))


def import_gradio() -> Any:
    """gradio, which sends nothing to its makers.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(f'{error}: the page needs gradio: pip install "vlprompt[demo]"') from error
    return gradio


def message_of(error: Exception, given: tuple[Any, ...]) -> str:
    """What the page says of an error, in HTML.

    Args:
        error: of a function behind the page.
        given: its arguments; files among them are called as their owner calls them, without the page's folder.
    """
    message = user_message(error)
    if message is None:
        logging.getLogger('vlprompt').error('an error behind the page', exc_info=error)
        return f'{type(error).__name__}, which should not happen: the terminal says where it did'
    message = message.removeprefix(f'{type(error).__name__}: ')
    for value in given:
        if isinstance(value, str) and os.path.isabs(value):
            message = message.replace(value, Path(value).name)
    return html.escape(message, quote=False)


def answered(function: Callable) -> Callable:
    """The function of a button, whose errors are messages on the page."""
    gr = import_gradio()

    @functools.wraps(function)
    def answer(*given: Any) -> Any:
        try:
            return function(*given)
        except Exception as error:
            raise gr.Error(message_of(error, given), print_exception=False) from error

    return answer


class PageWarnings(logging.Handler):
    """Shows warnings of the package on the page whose button caused them."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            import_gradio().Warning(html.escape(record.getMessage(), quote=False))


def file_of(given: Any) -> str | None:
    """The file of an image box.  gradio would open it; vlprompt does so itself, and says what is wrong with it."""
    return None if given is None else given.path


class Page:
    """The tabs: controls at the left, the answer at the right.

    Args:
        demo: what the buttons do.

    Attributes:
        blocks: the page, to launch.
    """

    def __init__(self, demo: Demo) -> None:
        self.gr, self.demo = import_gradio(), demo
        self.scenes = [
            [Image.fromarray(class_scene(name, seed, **SCENE_OPTIONS).image), words] for name, seed, words in SCENES
        ]
        with self.gr.Blocks(title='vlprompt', analytics_enabled=False, delete_cache=(3600, 3600)) as self.blocks:
            self.gr.Markdown(
                '# vlprompt\nCLIP-like models, and what they say of an image. The built-in ones, with `micro` in their '
                'names, know drawings such as the examples alone, no photographs.'
            )
            for title, fill in {
                'Scores': self.scores,
                'Maps': self.maps,
                'Transport plans': self.plans,
                'Regions': self.regions,
                'Nearest images': self.nearest,
            }.items():
                with self.gr.Tab(title), self.gr.Row():
                    fill()

    def scores(self) -> None:
        gr = self.gr
        with gr.Column():
            model = self.models(lambda infer: infer.task == 'classification')
            image, words = self.image(), self.words()
            button = gr.Button('score', variant='primary')
            gr.Examples(self.scenes, [image, words])
        with gr.Column():
            answer = gr.Label(label='probabilities', num_top_classes=20)
        self.on(button, self.demo.scores, [model, image, words], answer)

    def maps(self) -> None:
        gr = self.gr
        with gr.Column():
            models = self.models(has_maps, several=True)
            image, words = self.image(), self.words('what to look for: between commas, or one in each line')
            form = gr.Dropdown(
                [AS_THE_MODEL, 'value', *PUBLISHED],
                value=AS_THE_MODEL,
                label='form of local features',
                info='value: of ResNets; others than native: of ViTs',
            )
            stretch = gr.Checkbox(label='a colour scale for each model')
            button = gr.Button('look', variant='primary')
            gr.Examples(self.scenes, [image, words])
        with gr.Column(scale=2):
            answer = self.picture('cosines of the words and the places of the image')

        def maps(names: list[str], image: str | None, words: str, form: str, stretch: bool) -> Image.Image:
            return self.demo.maps(names, image, words, None if form == AS_THE_MODEL else form, stretch)

        self.on(button, maps, [models, image, words, form, stretch], answer)

    def plans(self) -> None:
        gr = self.gr
        with gr.Column():
            model = self.models(has_plans)
            image, words = self.image(), self.words()
            stretch = gr.Checkbox(label="every panel's own range, as in the paper")
            button = gr.Button('align', variant='primary')
            gr.Examples(self.scenes, [image, words])
        with gr.Column(scale=2):
            answer = self.picture('where the prompts of a class have their mass')
        self.on(button, self.demo.plans, [model, image, words, stretch], answer)

    def regions(self) -> None:
        gr = self.gr
        with gr.Column():
            model = self.models(lambda infer: infer.task in ('segmentation', 'detection'))
            image = self.image()
            words = self.words('classes: between commas, or one in each line, which may then have several words')
            button = gr.Button('segment', variant='primary')
            gr.Examples(self.scenes, [image, words])
        with gr.Column():
            answer = gr.AnnotatedImage(label='segmentation, or objects', format='png', show_label=False)

        def regions(name: str, image: str | None, words: str) -> gr.AnnotatedImage:
            found = self.demo.regions(name, image, words)
            return gr.AnnotatedImage((found.image, found.parts), color_map=found.colours)

        self.on(button, regions, [model, image, words], answer)

    def nearest(self) -> None:
        gr = self.gr
        with gr.Column():
            model = self.models(lambda infer: infer.task == 're-identification')
            image = self.image()
            button = gr.Button('search', variant='primary')
            gr.Examples([[person(pid, CAMERAS[0])] for pid in PEOPLE[:8]], [image])
        with gr.Column(scale=2):
            gr.Markdown(f'The nearest of {len(self.demo.gallery.images)} images, and their cosines')
            looks = dict(columns=4, object_fit='contain', format='png', buttons=['fullscreen'])
            answer = gr.Gallery(label='nearest images', show_label=False, **looks)
        self.on(button, self.demo.nearest, [model, image], answer)

    def models(self, fits: Callable[[Inferencer], bool], several: bool = False) -> gr.Dropdown:
        names = self.demo.fitting(fits)
        if several:
            return self.gr.Dropdown(names, value=names[:2], multiselect=True, label='models')
        return self.gr.Dropdown(names, value=names[0], label='model')

    def image(self) -> gr.Image:
        box = self.gr.Image(label='image', type='filepath', format='png', height=320)
        box.preprocess = file_of
        return box

    def words(
        self, info: str = 'classes: between commas, or one in each line; none: those of a trained model'
    ) -> gr.Textbox:
        return self.gr.Textbox(label='words', info=info, value=self.scenes[0][1], lines=2)

    def picture(self, label: str) -> gr.Image:
        looks = dict(interactive=False, show_label=False, buttons=['download', 'fullscreen'])
        return self.gr.Image(label=label, format='png', **looks)

    def on(self, button: gr.Button, function: Callable, inputs: list, output: Any) -> None:
        """One click at a time, of all tabs and users: a model holds the words of its last one."""
        output.elem_id = f'answer_{function.__name__}'  # for scripts that look for it
        together = dict(concurrency_limit=1, concurrency_id='models')
        button.click(answered(function), inputs, output, api_name=function.__name__, **together)


def launch(page: Page, port: int | None, in_browser: bool = False) -> tuple[Any, str, str]:
    """Serve the page in a thread.

    Args:
        page: what to serve.
        port: None: the first free one from 7860 on.
        in_browser: open it.

    Returns:
        As ``Blocks.launch`` does: the app, the page's address, and that of a public copy, which there is not.

    Raises:
        RunError: the port is taken.
    """
    fonts = dict(font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace'])  # none is fetched
    try:
        return page.blocks.launch(
            server_name='127.0.0.1',
            server_port=port,
            share=False,
            inbrowser=in_browser,
            ssr_mode=False,
            max_file_size='50mb',
            footer_links=[],
            theme=page.gr.themes.Default(**fonts),
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise RunError(f'the page cannot use port {port}: give another one by --port ({error})') from error


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    import_gradio()  # before the models, which take longer
    page = Page(build_demo(args))
    logging.getLogger('vlprompt').addHandler(PageWarnings())
    _, url, _ = launch(page, args.port, args.open)
    print(f'The page is at {url} until Ctrl-C.', flush=True)
    page.blocks.block_thread()


if __name__ == '__main__':
    call(main)
