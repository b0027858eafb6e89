"""openload, run on a core of its own, and what its records say."""
import math
import os
import statistics
import subprocess
import sys
from collections import namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "process")]
import weirtest  # noqa: E402
from busy_servers import prefer  # noqa: E402

OPENLOAD = os.path.join(weirtest.BUILD, "tests", "bench", "openload")
REJECTED = ("503", "429")
PATIENCE_MS = 1000
LATE_MS = 20  # a generator that sends later than this, one time in a hundred, is itself what is measured
BIN_S = 0.25

Record = namedtuple("Record", "phase at begun latency result")  # s, s, s


class Phase:
    """What became of the requests that were scheduled in [begin, end), seconds from the start of the load."""

    def __init__(self, records, begin, end):
        self.records = [record for record in records if begin <= record.at < end]
        self.begin, self.end, self.seconds = begin, end, end - begin

    def count(self, *results):
        return sum(record.result in results for record in self.records)

    @property
    def goodput(self):
        return self.count("200") / self.seconds

    @property
    def rejected_share(self):
        return self.count(*REJECTED) / max(1, len(self.records))

    @property
    def others(self):
        """{what else became of requests: how many}"""
        found = {}
        for record in self.records:
            if record.result != "200" and record.result not in REJECTED:
                found[record.result] = found.get(record.result, 0) + 1
        return found

    def percentile(self, share):
        """Of the latency of what was served, ms."""
        served = sorted(record.latency for record in self.records if record.result == "200")
        return served[min(len(served) - 1, int(share * len(served)))] * 1000 if served else None

    def steadiness(self):
        """Mean and standard deviation of the rejected share of each whole second."""
        shares = []
        for second in range(int(self.seconds)):
            part = Phase(self.records, self.begin + second, self.begin + second + 1)
            if part.records:
                shares.append(part.rejected_share)
        if not shares:
            return 0.0, 0.0
        return statistics.mean(shares), statistics.pstdev(shares)

    def bins(self):
        """[(goodput a second, p99 of what was served in ms or None, rejected share)] of each BIN_S"""
        found = []
        for number in range(int(math.ceil(self.seconds / BIN_S))):
            part = Phase(self.records, self.begin + number * BIN_S, self.begin + (number + 1) * BIN_S)
            found.append((part.goodput, part.percentile(0.99), part.rejected_share))
        return found


class Load:
    """openload in the background; result() waits for it."""

    def __init__(self, address, phases, path="/", keep_alive=False, sources=2000, header=None, placed=(), seed=1, most=4000,
                 patience_ms=PATIENCE_MS):
        weirtest.need_build(OPENLOAD)
        line = [OPENLOAD, "-p", path, "-s", str(sources), "-r", str(seed), "-c", str(most), "-t", str(patience_ms)]
        line += ["-k"] if keep_alive else []
        line += ["-H", header] if header else []
        line += [address[0], str(address[1])] + ["%s:%g:%g" % phase for phase in phases]
        self.phases = phases
        self.process = subprocess.Popen(list(placed) + line, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)
        prefer(self.process.pid)

    def result(self):
        out = self.process.communicate(timeout=sum(phase[2] for phase in self.phases) + 60)[0]
        assert self.process.returncode == 0, "openload: exit status %d" % self.process.returncode
        self.records = []
        for line in out.splitlines():
            fields = line.split()
            if fields[0] == "#":
                self.cpu = float(fields[2])
            else:
                self.records.append(Record(int(fields[0]), *(int(field) / 1e6 for field in fields[1:4]), fields[4]))
        late = sorted(record.begun - record.at for record in self.records if record.begun)
        self.late_ms = late[int(len(late) * 0.99)] * 1000 if late else 0
        return self

    def phase(self, number, skip=0.0):
        begin = sum(phase[2] for phase in self.phases[:number])
        return Phase(self.records, begin + skip, begin + self.phases[number][2])

    def whole(self):
        return Phase(self.records, 0.0, sum(phase[2] for phase in self.phases))
