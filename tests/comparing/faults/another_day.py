"""No fault: the clock is a year later."""

import time

right = time.time
time.time = lambda: right() + 365 * 86400
