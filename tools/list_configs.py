"""List the shipped configs, or those whose name contains a word, with their first line; and the datasets of a task.

python tools/list_configs.py
python tools/list_configs.py plot_rn50
python tools/list_configs.py --datasets
"""

import argparse
from pathlib import Path


def headline(config: Path) -> str:
    """The first line of a config, if it is a comment."""
    first = config.read_text(encoding='utf-8').split('\n', 1)[0]
    return first.removeprefix('# ') if first.startswith('# ') else ''


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('word', nargs='?', default='', help='part of the name, or a pattern such as "coop_*rn50*"')
    parser.add_argument('--datasets', action='store_true', help='list what --dataset may name, by task')
    args = parser.parse_intermixed_args(argv)

    from vlprompt.engine.config_files import CONFIGS, config_names, list_configs  # takes seconds

    if args.datasets:
        folder = CONFIGS / '_base_' / 'datasets'
        tasks = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith('_'))
        found = {task: [name for name in config_names(folder / task) if not name.startswith('_')] for task in tasks}
        for task, names in found.items():
            print(f'{task}: {", ".join(name for name in names if args.word in name)}')
        return
    words = args.word.lower()
    named = list_configs(args.word)
    names = named or [name for name in list_configs() if words in headline(CONFIGS / f'{name}.py').lower()]
    width = max(map(len, names), default=0)
    for name in names:
        print(f'{name:<{width}}  {headline(CONFIGS / f"{name}.py")}')
    if not names:
        parser.exit(1, f'no config has {args.word!r} in its name or description\n')


if __name__ == '__main__':
    main()
