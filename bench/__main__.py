"""Entry point of `python -m throughtime`."""

import sys

from throughtime.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
