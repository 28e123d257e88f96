"""``python -m anime_dcgan``, the command line."""

import sys

from .cli import main

sys.exit(main())
