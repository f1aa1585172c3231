# SPDX-License-Identifier: MIT
"""A snapshot of redis-server is of one instant: of values that a client writes in order meanwhile, it has those up to one, all
that were written before it began, and none that was sent after it ended."""
import mmap
import re
import threading

from redis import Server
from support import DEADLINE, check, main

BATCH = 50


class Writer(threading.Thread):
    """Writes k:0, k:1, …, some on the way at a time."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.client = server.client()
        self.sent = self.answered = 0
        self.stopping = threading.Event()
        self.wrong = None

    def run(self):
        try:
            while not self.stopping.is_set():
                for number in range(self.sent, self.sent + BATCH):
                    self.sent += 1
                    self.client.send('SET', f'k:{number}', f'<value {number:012}>')
                while self.answered < self.sent:
                    check(self.client.receive() == 'OK', 'a SET was not answered by OK')
                    self.answered += 1
        except Exception as wrong:  # pylint: disable=broad-except # told by who waits
            self.wrong = wrong

    def stop(self):
        self.stopping.set()
        self.join(DEADLINE)
        check(not self.wrong and not self.is_alive(), f'the client that writes meanwhile: {self.wrong}')


def values(path):
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as core:
        return {int(found.group(1)) for found in re.finditer(rb'<value (\d{12})>', core)}


def body(test):
    server = Server(test)
    client = server.client()
    client.do('DEBUG', 'POPULATE', 50_000, 'kept', 1000)
    writer = Writer(server)
    writer.start()
    for attempt in range(3):
        test.wait(lambda count=writer.answered: writer.wrong or writer.answered >= count + 2000, 'some values are written')
        before = writer.answered
        test.memredirect('snapshot', server.pid, '-o', test.path('core'))
        after = writer.sent
        found = values(test.path('core'))
        check(found == set(range(len(found))), f'snapshot {attempt}: {len(found)} values, not the first ones')
        check(before <= len(found) <= after,
              f'snapshot {attempt}: {len(found)} values, but {before} to {after} were written')
        print(f'{len(found)} values found; {before} were there before, {after} afterwards')
    writer.stop()
    check(client.do('DBSIZE') == 50_000 + writer.sent, 'keys are missing afterwards')


main(body)
