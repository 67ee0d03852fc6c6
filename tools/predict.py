"""Predict images: `vlprompt predict` from a checkout."""

from vlprompt.cli import run_command

if __name__ == '__main__':
    run_command('predict')
