"""What something costs: processor time, without what a tool that counts lines adds to it."""

import sys
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the processor time that ``work`` takes, run once with no tracer looking on."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        started = time.process_time()
        work()
        return time.process_time() - started
    finally:
        sys.settrace(tracer)
