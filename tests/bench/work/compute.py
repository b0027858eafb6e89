"""Work that takes so long: what the servers of this folder that are written in Python do for each request."""
import time


def compute(rounds):
    total = 0
    for number in range(rounds):
        total = (total * 31 + number) % 1000003
    return total


def calibrated(ms):
    """Rounds that take so many milliseconds of CPU."""
    rounds, best = 5000, float("inf")
    for _ in range(60):
        before = time.thread_time()
        compute(rounds)
        best = min(best, time.thread_time() - before)
    return int(rounds * ms / 1000 / best)
