"""List the shipped configs, or those whose name contains a word, with their first line; the datasets of a task; how
many numbers configs train; towers with their weights; and the adapters that are shipped.

vlprompt list
vlprompt list plot_rn50
vlprompt list --datasets
vlprompt list --towers SigLIP "ViT-B-16*"
vlprompt list --adapters coop lpt
vlprompt list "coop/*" plotpp_vit-b16 --parameters
vlprompt list tip-adapter-f_rn50 --parameters --dataset dtd --shots 16

--parameters builds every model listed, with random weights, and prints a Markdown table, phase by phase; the whole name
of a config means that one alone. Class names are those of the config's dataset, or of --dataset.
--towers lists what model.clip.arch and model.clip.weights can be, and how images are prepared for it.
--adapters lists what init_model('builtin:NAME') and vlprompt predict --adapter builtin:NAME load.
"""

from pathlib import Path

from vlprompt.apis.command_line import ToolParser, call, positive


def headline(config: Path) -> str:
    """The first line of a config, if it is a comment."""
    first = config.read_text(encoding='utf-8').split('\n', 1)[0]
    return first.removeprefix('# ') if first.startswith('# ') else ''


def matching(word: str, whole: bool) -> list[str]:
    """Shipped configs that have a word in their name or, if there are none, in their first line.

    Args:
        word: part of a name, or a pattern.
        whole: a word that is the name of a config, with or without its folder, stands for this one alone.
    """
    from vlprompt.engine.config_files import CONFIGS, list_configs

    if whole and (named := [name for name in list_configs() if word in (name, name.rpartition('/')[2])]):
        return named
    named = list_configs(word)
    return named or [name for name in list_configs() if word.lower() in headline(CONFIGS / f'{name}.py').lower()]


def main(argv: list[str] | None = None) -> None:
    parser = ToolParser(__doc__)
    parser.add_argument(
        'words', nargs='*', default=[''], help='parts of the name, or patterns such as "coop_*rn50*"', metavar='WORD'
    )
    parser.add_argument('--datasets', action='store_true', help='list the names of datasets, by task')
    parser.add_argument('--towers', action='store_true', help='list architectures and weights')
    parser.add_argument('--adapters', action='store_true', help='list the trained adapters that are shipped')
    parser.add_argument('--parameters', action='store_true', help='count what the listed configs train')
    parser.add_argument('--dataset', metavar='NAME', help='with --parameters: dataset of the class names')
    parser.add_argument('--shots', type=positive, metavar='K', help='with --parameters: training images per class')
    args = parser.parse_intermixed_args(argv)
    options = {key: value for key in ('dataset', 'shots') if (value := getattr(args, key)) is not None}
    if options and not args.parameters:
        parser.error(f'--{next(iter(options))} has no effect without --parameters')
    if args.parameters + args.datasets + args.towers + args.adapters > 1:
        parser.error('choose one of --parameters, --datasets, --towers and --adapters')
    if args.adapters:
        from vlprompt.apis.builtin import adapters_table

        table = adapters_table(args.words)
        print(table) if table else parser.exit(1, f'no adapter has {" nor ".join(map(repr, args.words))} in its name\n')
        return
    if args.towers:
        from vlprompt.apis.towers import towers_table

        table = towers_table(args.words)
        print(table) if table else parser.exit(
            1, f'no architecture has {" nor ".join(map(repr, args.words))} in its name\n'
        )
        return

    from vlprompt.engine.config_files import CONFIGS, config_names  # takes seconds

    if args.datasets:
        folder = CONFIGS / '_base_' / 'datasets'
        tasks = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith('_'))
        found = {task: [name for name in config_names(folder / task) if not name.startswith('_')] for task in tasks}
        for task, names in found.items():
            print(f'{task}: {", ".join(name for name in names if any(word in name for word in args.words))}')
        return
    found = {word: matching(word, whole=args.parameters) for word in args.words}
    if missing := [word for word, names in found.items() if not names]:
        parser.exit(1, f'no config has {" nor ".join(map(repr, missing))} in its name or description\n')
    names = list(dict.fromkeys(name for names in found.values() for name in names))
    if args.parameters:
        from vlprompt.apis.parameters import parameter_table, trained_counts

        print(parameter_table({name: trained_counts(name, options) for name in names}))
        return
    width = max(map(len, names))
    for name in names:
        print(f'{name:<{width}}  {headline(CONFIGS / f"{name}.py")}')


if __name__ == '__main__':
    call(main)
