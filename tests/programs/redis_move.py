# SPDX-License-Identifier: MIT
"""redis-server under redis-benchmark is moved to huge pages and back, again and again: each answer is right meanwhile, and
its contents (DEBUG DIGEST) are what they were. What it saves afterwards (BGSAVE: a child of fork) is the same, too, when
another redis-server loads it."""
from redis import Prober, Server, benchmark, fill
from support import check, has_huge_pages, main, memory

ROUND_TRIPS = 20
KEYS = 50_000
MIB = 1 << 20


def moved_pages_are(server, to):
    huge = memory(server.pid, 'AnonHugePages')
    if to == 'thp' and has_huge_pages():
        check(huge > 0, 'no huge page after a move to huge pages')


def body(test):
    server = Server(test)
    client = server.client()
    fill(server, client, KEYS, KEYS)
    before = client.digest()

    load = benchmark(server, KEYS)
    prober = Prober(server)
    prober.start()
    moved = 0
    for _ in range(ROUND_TRIPS):
        for to in 'thp', 'anon':
            moved += sum(row['length'] for row in test.move(server.pid, to))
            moved_pages_are(server, to)
    check(load.poll() is None, f'redis-benchmark has ended: {test.log()}')
    longest, count = prober.stop(), prober.count
    check(client.digest() == before, 'the contents differ after moves')

    file = server.save(client)
    test.end(load)
    check(client.digest() == before, 'the contents differ after BGSAVE')
    second = Server(test, 'second', file)
    check(second.client().digest() == before, 'what BGSAVE has written after moves is not what there was')
    print(f'{2 * ROUND_TRIPS} moves of {moved // MIB // (2 * ROUND_TRIPS)} MiB; {count} requests, '
          f'the longest {longest * 1000:.1f} ms')


main(body)
