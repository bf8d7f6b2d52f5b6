"""``python -m belle2dark.produce``."""

from belle2dark.produce import main

main()
