"""Print what is installed and what the machine has, and say what does not fit together, with the remedy.

    vlprompt env

A report of a problem should have this output in it. The exit status is 1 if something does not fit together.
"""

from vlprompt.apis.command_line import ToolParser, call
from vlprompt.compat.environment import check_environment, environment_report, installed_versions


def main() -> None:
    ToolParser(__doc__).parse_args()
    _print(installed_versions())
    check_environment()  # before torch and mmcv are imported
    from mmengine.utils.dl_utils import collect_env

    _print({name: value for name, value in environment_report().items() if name not in installed_versions()})
    collected = collect_env()
    for name in ('PyTorch compiling details', 'numpy_random_seed'):
        collected.pop(name, None)
    _print({name: str(value).strip().replace('\n', ', ') for name, value in collected.items()})
    print('These packages fit together.')


def _print(report: dict[str, str]) -> None:
    for name, value in report.items():
        print(f'{name}: {value}', flush=True)


if __name__ == '__main__':
    call(main)
