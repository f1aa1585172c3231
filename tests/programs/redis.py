# SPDX-License-Identifier: MIT
"""redis-server for tests: one on a unix socket in the test's folder, and a client that speaks its protocol."""
import os
import socket
import threading
import time

from support import DEADLINE, Failed, check


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(path)
        self.file = self.socket.makefile('rb')

    def send(self, *words):
        parts = [b'*%d\r\n' % len(words)]
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b'$%d\r\n%s\r\n' % (len(word), word))
        self.socket.sendall(b''.join(parts))

    def receive(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError('redis-server has closed the connection')
        kind, text = line[:1], line[1:-2]
        if kind == b'-':
            raise Failed(f'redis says {text.decode()}')
        if kind == b':':
            return int(text)
        if kind == b'$':
            return None if text == b'-1' else self.file.read(int(text) + 2)[:-2]
        if kind == b'*':
            return [self.receive() for _ in range(int(text))]
        return text.decode()

    def do(self, *words):
        self.send(*words)
        return self.receive()

    def digest(self):
        return self.do('DEBUG', 'DIGEST')

    def info(self, field):
        for line in self.do('INFO').decode().splitlines():
            if line.startswith(field + ':'):
                return line.partition(':')[2]
        raise Failed(f'redis tells no {field}')


class Server:
    """Without files of its own, unless it saves; what it is saved to is dump.rdb in its folder."""

    def __init__(self, test, name='redis', file=None):
        self.test = test
        self.folder = test.path(name)
        self.socket = os.path.join(self.folder, 'socket')
        os.mkdir(self.folder)
        if file:
            os.rename(file, self.file())
        # The server is the same program as redis-check-rdb, whose package brings no service with it.
        self.process = test.start('redis-server', '--port', '0', '--unixsocket', self.socket, '--dir', self.folder, '--save', '',
                                  '--enable-debug-command', 'yes', '--daemonize', 'no', log=name + '.log',
                                  executable=test.program('redis-check-rdb', 'redis-tools'))
        self.pid = self.process.pid
        test.wait(self.answers, 'redis-server answers')

    def file(self):
        return os.path.join(self.folder, 'dump.rdb')

    def answers(self):
        check(self.process.poll() is None, f'redis-server has ended: {self.log()}')
        try:
            return Client(self.socket).do('PING') == 'PONG'
        except (OSError, Failed):
            return False  # it does not listen yet, or is loading

    def log(self):
        return self.test.log(os.path.basename(self.folder) + '.log')

    def client(self):
        return Client(self.socket)

    def save(self, client):
        """BGSAVE to its end; the file."""
        client.do('BGSAVE')
        self.test.wait(lambda: client.info('rdb_bgsave_in_progress') == '0', 'BGSAVE ends')
        check(client.info('rdb_last_bgsave_status') == 'ok', f'BGSAVE failed: {self.log()}')
        return self.file()


class Prober(threading.Thread):
    """Asks again and again, checks each answer, and notes how long the longest took, and when those were that took over a millisecond."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.client = server.client()
        self.stopping = threading.Event()
        self.longest = 0
        self.long = []
        self.count = 0
        self.wrong = None

    def run(self):
        try:
            while not self.stopping.is_set():
                begin = time.monotonic()
                answer = self.client.do('INCR', 'probe')
                end = time.monotonic()
                self.longest = max(self.longest, end - begin)
                if end - begin > 0.001:
                    self.long.append((begin, end))
                self.count += 1
                check(answer == self.count, f'INCR number {self.count} made it {answer}')
        except (OSError, Failed) as wrong:
            self.wrong = wrong

    def stop(self):
        self.stopping.set()
        self.join()
        check(not self.wrong, f'the client that asks meanwhile: {self.wrong}')
        self.client.do('DEL', 'probe')
        return self.longest


FOREVER = 2_000_000_000


def benchmark(server, keys, requests=FOREVER):
    """redis-benchmark begins with the same bytes each time, and writes no other ones as long as it runs."""
    return server.test.start(server.test.program('redis-benchmark', 'redis-tools'), '-s', server.socket, '-t', 'set', '-c', '20',
                             '-d', '300', '-r', str(keys), '-n', str(requests), '-q')


def fill(server, client, keys, kept):
    """Keys that redis-benchmark overwrites with the bytes that they have, so that the contents stay the same; and keys that stay."""
    client.do('DEBUG', 'POPULATE', kept, 'kept', 1000)
    check(server.test.end(benchmark(server, keys, 1000), None) == 0, 'redis-benchmark failed')
    client.do('EVAL', "for i = 0, ARGV[1] - 1 do redis.call('SET', string.format('key:%012d', i), ARGV[2]) end", 0, keys,
              client.do('GET', client.do('KEYS', 'key:*')[0]))
