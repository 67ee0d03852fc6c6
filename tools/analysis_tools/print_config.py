"""Print a config with everything it inherits and the options applied, after checking its keys.

python tools/analysis_tools/print_config.py configs/coop/coop_rn50_16shot_caltech101.py \
    --cfg-options model.prompt.n_ctx=4
"""

import argparse

from vlprompt.compat.environment import check_environment

check_environment()  # before anything imports torchvision or an mm package

from vlprompt.engine import cli  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_common_options(parser)
    print(cli.base_config(parser.parse_args()).pretty_text)


if __name__ == '__main__':
    cli.call(main)
