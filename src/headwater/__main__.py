"""`python -m headwater` is the command `headwater`."""

from headwater.apps.cli import main

main()
