# SPDX-License-Identifier: MIT
"""What clients of redis-server notice while its memory is moved, or a core file of it is taken, against nothing and against gcore.

    programs.py COMMAND [FOLDER]

redis-server has 512 MiB, and redis-benchmark writes to it. One more client asks again and again; its longest wait is what counts.
Each measurement stands beside one of the same length in which nothing happens: what the machine itself does to a client. FOLDER
gets programs.json.
"""
import json
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


def longest_during(server, deed):
    """The longest wait of a client, in ms, and how long it took, in s, and what the deed returned."""
    prober = Prober(server)
    prober.start()
    begin = time.monotonic()
    result = deed()
    took = time.monotonic() - begin
    return prober.stop() * 1000, took, result


def idle(server, seconds):
    return longest_during(server, lambda: time.sleep(seconds))[0]


def measure(server, deed, times):
    rows = []
    for number in range(times):
        longest, took, result = longest_during(server, lambda number=number: deed(number))
        rows.append({'longest_ms': longest, 'seconds': took, 'idle_ms': idle(server, took), 'said': result})
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


def summary(name, rows):
    longest = [row['longest_ms'] for row in rows]
    pause = [row['pause_ms'] for row in rows]
    still = [row['idle_ms'] for row in rows]
    seconds = [row['seconds'] for row in rows]
    print(f'{name:24} {statistics.median(longest):8.1f} {max(longest):8.1f} {statistics.median(pause):8.1f} {max(pause):8.1f} '
          f'{statistics.median(still):8.1f} {max(still):8.1f} {statistics.median(seconds):8.2f}')
    return {'median_longest_ms': statistics.median(longest), 'worst_longest_ms': max(longest),
            'median_pause_ms': statistics.median(pause), 'worst_pause_ms': max(pause),
            'median_idle_ms': statistics.median(still), 'worst_idle_ms': max(still), 'each': rows}


def body(test):
    server = Server(test)
    client = Client(server.socket)
    client.socket.settimeout(600)
    fill(server, client, KEYS, KEPT)
    size = int(client.info('used_memory'))
    before = client.digest()
    load = benchmark(server, KEYS)
    print(f'redis-server with {size // MIB} MiB, redis-benchmark, {os.cpu_count()} processors; ms, but for the last column\n')
    print(f'{"":24} {"longest request":>17} {"pause":>17} {"nothing happens":>17} {"seconds":>8}')
    print(f'{"":24} ' + f'{"median":>8} {"worst":>8} ' * 3)
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
