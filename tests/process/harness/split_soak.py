"""Random conversations in random pieces, many at a time: a case of harness/split.py. WEIR_SEED repeats a run."""
import os
import random
import threading
import time

from harness.battery import check_429
from harness.client import Connection, request
from harness.split_odd import FREE, REJECTED

SEED = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 30))
CONVERSATIONS = int(os.environ.get("WEIR_SOAK") or 60)
PIECES = (1, 2, 7, 20, 45, 90, 5000)


class AnyMixture:
    def send_in_pieces(self, connection, data, dice):
        try:
            while data:
                size = dice.choice(PIECES if self.kind.split_line else PIECES[-2:])
                connection.send(data[:size])
                data = data[size:]
                if dice.random() < 0.3:
                    time.sleep(dice.choice((0.001, 0.005, 0.02)))
        except OSError:
            pass  # ended behind a rejection: the answers say so

    def one_request(self, dice):
        """A method, a target, its bytes, and what body is to come back."""
        method, upload = self.upload_of(self.kind)
        body = None
        if self.kind.echo and dice.random() < 0.15:
            letters = b"GET /HTTP:1." + (b"" if self.kind.log == "output" else b"\r\n")  # haproxy would answer these encoded
            path = dice.choice((upload, upload, REJECTED if self.protected else upload))
            body = bytes(dice.choices(letters, k=dice.choice((1, 30, 3000))))
        else:
            method, path = "GET", dice.choice((FREE, FREE, REJECTED, self.queued))
        target = self.target(path, "any")
        data = request(method, target, [("X-Filler", "x" * dice.randint(1, 200))], body, chunked=bool(body) and self.chunked(dice))
        return method, target, data, body

    def chunked(self, dice):
        return self.kind.chunked and dice.random() < 0.5

    def one_answer(self, connection, method, target, body):
        """Whether the connection goes on."""
        if self.protected and target.startswith(REJECTED):
            self.rejected.add(target)
            response = connection.response()
            check_429(response, "%s:%s" % (method, REJECTED))
            return self.goes_on(connection, response)
        if not body:
            return self.expect_success(connection, target, self.kind.gives_up)
        response = connection.response()
        rejected = self.kind.gives_up and response.status == 429
        assert rejected or response.status in (200, 201, 204), (target, response)
        assert rejected or method == "PUT" or response.body == body, (target, response.body)
        return self.goes_on(connection, response)

    def one_of_them(self, number):
        dice = random.Random(SEED + number)
        several = self.kind.pipelines and self.kind.keeps_alive
        left = [self.one_request(dice) for _ in range(dice.randint(1, 8) if several else 1)]
        if not self.kind.behind_bodies:
            bodies = [place for place, entry in enumerate(left) if entry[3]]
            left = left[:bodies[0] + 1] if bodies else left
        with Connection(self.address, timeout=60) as connection:
            data = b"".join(entry[2] for entry in left)
            sender = threading.Thread(target=self.send_in_pieces, args=(connection, data, dice), daemon=True)
            sender.start()
            goes_on = True
            while left and goes_on:
                method, target, _, body = left.pop(0)
                goes_on = self.one_answer(connection, method, target, body)
            if self.protected:  # what comes behind the end is executed by no server
                self.rejected.update(target for _, target, _, _ in left)
            sender.join()

    def case_any_mixture(self):
        print("WEIR_SEED=%d" % SEED, flush=True)
        self.in_parallel([(self.one_of_them, number) for number in range(CONVERSATIONS)])
