"""Let OpenMP's threads sleep while they wait; has to be imported before torch.

By default they spin. On two cores that other processes use too (the app, a browser, a second run), 64
digits through the small CNN took over 500 ms a step with spinning threads and 31 ms with sleeping ones.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
