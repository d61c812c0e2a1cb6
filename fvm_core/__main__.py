"""`python -m fvm_core`."""

from fvm_core.cli import main

main()
