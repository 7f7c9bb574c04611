"""`python -m engine`: the command, for where the script is not on the path."""

import sys

from engine.cli.main import main

sys.exit(main())
