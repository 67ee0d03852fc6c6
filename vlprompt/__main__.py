"""``python -m vlprompt``, the same as the command ``vlprompt``."""

from vlprompt.cli import main

if __name__ == '__main__':
    main()
