"""Use the page of tools/web_demo.py as a person does, in Chromium, and keep a picture of every tab.

python -m dev.web_demo_in_a_browser --out work_dirs/web_demo
python -m dev.web_demo_in_a_browser --browser /usr/bin/chromium --out work_dirs/web_demo

Needs pip install "vlprompt[demo]" playwright, and a Chromium: that of the system by --browser, or playwright's own
(playwright install chromium). Fails if an answer is missing, a mistake has no message, or the page asks anything but
its own server. The pictures are for looking at.
"""

import argparse
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tools import web_demo
from vlprompt.apis.command_line import call
from vlprompt.datasets.generated.tasks import class_scene

SECONDS = 120
"""How long an answer may take."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--browser', metavar='FILE', help="program of a Chromium (default: playwright's own)")
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder of the pictures')
    return parser.parse_args(argv)


class Visitor:
    """A person at the page, who looks at one tab after the other.

    Args:
        page: that has been opened.
        out: folder of the pictures.
    """

    def __init__(self, page: Page, out: Path) -> None:
        self.page, self.out = page, out
        page.set_default_timeout(1000 * SECONDS)

    def ask(self, tab: str, button: str, image: Path | None, words: str | None, answer: str) -> str:
        """Fill in a tab, press its button, wait for what the selector ``answer`` finds, and return its text."""
        self.page.get_by_role('tab', name=tab, exact=True).click()
        panel = self.page.locator('div[role=tabpanel]:visible')
        if image is not None:
            panel.locator('input[type=file]').first.set_input_files(image)
            panel.locator('.image-frame img').first.wait_for(state='attached')
        if words is not None:
            panel.get_by_label('words').fill(words)
        panel.get_by_role('button', name=button, exact=True).click()
        found = self.page.locator(answer).locator('visible=true').last
        found.wait_for()
        return found.inner_text()

    def keep(self, name: str) -> None:
        self.page.wait_for_timeout(1000)  # pictures fade in
        self.page.screenshot(path=self.out / f'{name}.png', full_page=True)

    def expect_message(self, words: str, image: Path, expected: str) -> None:
        shown = self.ask('Scores', 'score', image, words, '.toast-body')
        assert expected in shown, shown
        self.keep(f'message_{image.stem}_{len(words)}')
        self.page.locator('.toast-close').first.click()
        self.page.locator('.toast-body').wait_for(state='detached')


def visit(page: Page, out: Path) -> None:
    """All tabs, and two mistakes."""
    cup, person, broken = (out / name for name in ('cup.png', 'person.png', 'broken.png'))
    scene = class_scene('cup with a purple handle on sand', 7, **web_demo.SCENE_OPTIONS)
    Image.fromarray(scene.image).save(cup)
    web_demo.person(web_demo.PEOPLE[9], 0).save(person)
    broken.write_bytes(cup.read_bytes()[:300])
    visitor = Visitor(page, out)
    best = visitor.ask(
        'Scores', 'score', cup, 'boat, cup, house, star', '#answer_scores [data-testid=label-output-value]'
    )
    assert best == 'cup', best
    visitor.keep('scores')
    for tab, button, image, words, answer in (
        ('Maps', 'look', cup, 'cup, handle, sand', '#answer_maps img'),
        ('Transport plans', 'align', cup, 'cup, boat, house', '#answer_plans img'),
        ('Regions', 'segment', cup, 'cup\nsand, beach', '#answer_regions img'),
        ('Nearest images', 'search', person, None, '#answer_nearest img'),
    ):
        visitor.ask(tab, button, image, words, answer)
        visitor.keep(tab.lower().replace(' ', '_'))
    visitor.expect_message(' ', cup, 'write the classes to choose from')
    visitor.expect_message('cup, boat', broken, 'image broken.png cannot be read')


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    page = web_demo.Page(web_demo.build_demo(web_demo.parse_args([])))
    _, url, _ = web_demo.launch(page, port=None)
    foreign, complaints = set(), []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=args.browser)
            tab = browser.new_page(viewport=dict(width=1360, height=1000))
            tab.on('request', lambda asked: asked.url.startswith((url, 'data:', 'blob:')) or foreign.add(asked.url))
            tab.on('pageerror', lambda error: complaints.append(str(error)))
            tab.goto(url)
            visit(tab, args.out)
            print(f'Chromium {browser.version}, gradio {page.gr.__version__}: {args.out}')
    finally:
        page.blocks.close()
    assert not foreign, f'the page asks others: {foreign}'
    assert not complaints, complaints


if __name__ == '__main__':
    call(main)
