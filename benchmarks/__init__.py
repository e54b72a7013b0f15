"""What is measured. Run one by `python -m benchmarks.NAME`, all by `make bench` and `make prove`."""

import os

# before numpy is loaded, as the command line does it (`pipelines.environment`): a second thread of its linear algebra
# only waits for the first, and where the machine does something else it waits five times as long
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
