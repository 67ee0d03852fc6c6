"""Few-shot experiments: `vlprompt few-shot` from a checkout."""

from vlprompt.cli import run_command

if __name__ == '__main__':
    run_command('few-shot')
