"""What the servers of this folder that are written in Python do for each request."""
import time


def compute(ms):
    """Uses so many milliseconds of the CPU: by its clock, not by a number of rounds, for how fast a core is depends on what its
    neighbour does."""
    end, total = time.thread_time() + ms / 1000, 0
    while time.thread_time() < end:
        for number in range(1000):
            total = (total * 31 + number) % 1000003
    return total
