"""Where the time of all of a results folder's jobs went: the table at a run's end, of runs before it.

python benchmarks/where_time_goes.py results
"""

import sys
from pathlib import Path

from mespot import timing

results = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
print(*timing.where(timing.spent(results)), sep="\n")
