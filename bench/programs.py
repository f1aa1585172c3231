# SPDX-License-Identifier: MIT
"""What clients of redis-server notice while its memory is moved, or a core file of it is taken, against nothing and against gcore.

    programs.py COMMAND [FOLDER]

redis-server has 512 MiB, and redis-benchmark writes to it. One more client asks again and again; its longest wait is what counts.
Each measurement stands beside one of the same length in which nothing happens: what the machine itself does to a client. FOLDER
gets programs.json.

A virtual machine may stand still, all processors of it, while its host takes back the memory that a move has freed (free page reporting,
two seconds later). A watch on each processor, which nothing in the machine itself can hold up, tells when; "without" is the longest wait
less that time.
"""
import json
import multiprocessing
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'tests', 'programs'))
from redis import Client, Prober, Server, benchmark, fill  # noqa: E402 # pylint: disable=wrong-import-position
from support import Failed, Skipped, Test, check  # noqa: E402 # pylint: disable=wrong-import-position

MIB = 1 << 20
KEYS = 100_000
KEPT = 455_000  # with the others, 512 MiB
ROUND_TRIPS = 20
SNAPSHOTS = 5


def watch(processor, pipe):
    """Sleep a millisecond at a time until told to end; send when it was two more."""
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    late = []
    last = time.monotonic()
    while not pipe.poll():
        time.sleep(0.001)
        now = time.monotonic()
        if now - last > 0.003:
            late.append((last + 0.001, now))
        last = now
    pipe.recv()
    pipe.send(late)


class Watches:
    """One on each processor."""

    def __init__(self):
        self.pipes = []
        for processor in os.sched_getaffinity(0):
            ours, theirs = multiprocessing.Pipe()
            multiprocessing.Process(target=watch, args=(processor, theirs), daemon=True).start()
            self.pipes.append(ours)

    def end(self):
        """When all were late at once."""
        for pipe in self.pipes:
            pipe.send(None)
        still = [(0, float('inf'))]
        for late in [pipe.recv() for pipe in self.pipes]:
            still = [(max(a, c), min(b, d)) for a, b in still for c, d in late if max(a, c) < min(b, d)]
        return still


def overlap(one, other):
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def longest_during(server, deed):
    """What a client waited at most, in ms, and less the time for which the machine stood still; how long it took, in s; what the deed returned."""
    watches = Watches()
    prober = Prober(server)
    prober.start()
    begin = time.monotonic()
    result = deed()
    took = time.monotonic() - begin
    longest = prober.stop()
    still = watches.end()
    without = max((wait[1] - wait[0] - sum(overlap(wait, pause) for pause in still) for wait in prober.long), default=longest)
    return longest * 1000, without * 1000, took, result


def measure(server, deed, times):
    rows = []
    for number in range(times):
        longest, without, took, result = longest_during(server, lambda number=number: deed(number))
        idle = longest_during(server, lambda took=took: time.sleep(took))
        rows.append({'longest_ms': longest, 'without_ms': without, 'seconds': took, 'idle_ms': idle[0], 'idle_without_ms': idle[1],
                     'said': result})
    return rows


def moves(server):
    def both_ways(_number):
        return [row['pause_ns'] / 1e6 for to in ('thp', 'anon') for row in server.test.move(server.pid, to)]
    rows = measure(server, both_ways, ROUND_TRIPS)
    for row in rows:
        row['pause_ms'] = max(row.pop('said'))
    return rows


def snapshots(server):
    def take(number):
        core = server.test.path(f'core.{number}')
        row, = json.loads(server.test.memredirect('snapshot', server.pid, '-o', core, '--json').stdout)['snapshot']
        os.unlink(core)
        return row['pause_ns'] / 1e6
    rows = measure(server, take, SNAPSHOTS)
    for row in rows:
        row['pause_ms'] = row.pop('said')
    return rows


def gcores(server):
    def take(number):
        server.test.run(server.test.program('gcore', 'gdb'), '-o', server.test.path(f'gcore.{number}'), str(server.pid))
        os.unlink(server.test.path(f'gcore.{number}.{server.pid}'))
    rows = measure(server, take, SNAPSHOTS)
    for row in rows:
        row['pause_ms'] = row['longest_ms']
        del row['said']
    return rows


COLUMNS = {'longest': 'longest request', 'without': 'without', 'pause': 'pause', 'idle': 'nothing happens', 'idle_without': 'without'}


def summary(name, rows):
    result = {}
    for column in COLUMNS:
        values = [row[column + '_ms'] for row in rows]
        result[f'median_{column}_ms'] = statistics.median(values)
        result[f'worst_{column}_ms'] = max(values)
    print(f'{name:20} ' + ' '.join(f'{value:8.1f}' for value in result.values()) +
          f' {statistics.median(row["seconds"] for row in rows):8.2f}')
    return {**result, 'each': rows}


def body(test):
    server = Server(test)
    client = Client(server.socket)
    client.socket.settimeout(600)
    fill(server, client, KEYS, KEPT)
    size = int(client.info('used_memory'))
    before = client.digest()
    load = benchmark(server, KEYS)
    print(f'redis-server with {size // MIB} MiB, redis-benchmark, {os.cpu_count()} processors; ms, but for the last column\n')
    print(f'{"":20} ' + ' '.join(f'{title:>17}' for title in COLUMNS.values()) + f' {"seconds":>8}')
    print(f'{"":20} ' + f'{"median":>8} {"worst":>8} ' * len(COLUMNS))
    results = {'bytes': size, 'processors': os.cpu_count()}
    for name, measured in ('move to thp and back', moves), ('memredirect snapshot', snapshots), ('gcore', gcores):
        results[name] = summary(name, measured(server))
    check(load.poll() is None, f'redis-benchmark has ended: {test.log()}')
    test.end(load)
    check(client.digest() == before, 'the contents differ afterwards')
    return results


def main():
    folder = os.path.abspath(sys.argv[2] if len(sys.argv) > 2 else '.')
    test = Test(sys.argv[1])
    try:
        results = body(test)
        with open(os.path.join(folder, 'programs.json'), 'w', encoding='ascii') as file:
            json.dump(results, file, indent=1)
    except (Failed, Skipped) as why:
        sys.exit(f'programs: {why}')
    finally:
        test.clean_up()


main()
