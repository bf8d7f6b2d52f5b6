"""Make the reference values of the notebook tests again: python tests/reference/make.py [SEARCH ...].

Each file holds what a notebook's result file holds at default parameters, with 25 times the statistics of the test.
Run it only after a change that is meant to move the numbers, and say in the commit why they moved.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from belle2dark.point import point
from belle2dark.search import load_search, search_names

N_EVENTS, SEED = 100_000, 2  # another seed than the notebooks': statistically independent of what is compared with it

if __name__ == "__main__":
    for name in sys.argv[1:] or search_names():
        answer = point(load_search(name), n_events=N_EVENTS, seed=SEED).to_json()
        file = Path(__file__).parent / f"{name}.json"
        file.write_text(json.dumps({"n_events": N_EVENTS} | answer, indent=1) + "\n", encoding="utf-8")
        print(f"{file}: efficiency {answer['signal']['efficiency']:.4g}")
