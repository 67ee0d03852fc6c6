"""Write a trained model as a file that stands alone: `vlprompt export` from a checkout."""

from vlprompt.cli import run_command

if __name__ == '__main__':
    run_command('export')
