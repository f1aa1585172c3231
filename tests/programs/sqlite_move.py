# SPDX-License-Identifier: MIT
"""python3 with a database of sqlite's in memory is moved while it inserts, changes and deletes, and its garbage collector and
allocator map and unmap: the database stays whole, and the same as a dictionary that is kept beside it."""
import subprocess
import sys

from support import check, main

TIMES = 5

PROGRAM = r'''
import gc, random, select, sqlite3, sys

random.seed(1)
base = sqlite3.connect(':memory:')
base.execute('create table t (k integer primary key, v blob)')
base.execute('create index by_value on t (v)')
table = {}
rounds = 0

def agree():
    assert base.execute('pragma integrity_check').fetchone() == ('ok',), 'the database is not whole'
    assert dict(base.execute('select k, v from t')) == table, 'the database and the dictionary differ'

def change():
    for _ in range(500):
        key, value = random.randrange(40_000), random.randbytes(random.randrange(10, 900))
        if random.random() < 0.3:
            base.execute('delete from t where k = ?', (key,))
            table.pop(key, None)
        else:
            base.execute('insert or replace into t values (?, ?)', (key, value))
            table[key] = value
    base.commit()

while len(table) < 20_000:
    change()
agree()
print('ready', flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    change()
    rounds += 1
    loops = [[] for _ in range(10_000)]
    for loop in loops:
        loop.append(loop)
    del loops, loop
    gc.collect()
    if rounds % 10 == 0:
        base.execute('vacuum')
        agree()
agree()
print('ok', rounds, 'rounds', len(table), 'rows', flush=True)
'''


def body(test):
    try:
        import sqlite3  # noqa: F401 # pylint: disable=unused-import,import-outside-toplevel
    except ImportError:
        test.skip('this python3 has no sqlite3')
    python = test.start(sys.executable, '-c', PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    check(python.stdout.readline() == 'ready\n', f'the program does not start: {test.log()}')
    moved = 0
    for _ in range(TIMES):
        for to in 'thp', 'anon':
            moved += test.move_most(python.pid, to)
            check(python.poll() is None, f'python3 has ended: {test.log()}')
    check(moved > 0, 'nothing was moved')
    python.stdin.close()
    said = python.stdout.read()
    check(test.end(python, None) == 0 and said.startswith('ok'), f'python3 found something wrong: {said}{test.log()}')
    print(f'{moved >> 20} MiB moved; {said.strip()}')


main(body)
