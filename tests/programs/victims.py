# SPDX-License-Identifier: MIT
"""Programs that check all of their memory while they change it, fork, map and unmap, are linked statically, or have a seccomp
filter, are moved: never is a word wrong, nothing stays behind in them, and what cannot be moved is refused and stays as it is.
Arguments: the command, the victim, the mode of victim.c."""
import os
import subprocess

from support import check, main, regions

TIMES = 3


def start(test, program, mode):
    victim = test.start(program, mode, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    words = victim.stdout.readline().split()
    check(words and words[0] == 'ready', f'the victim does not start: {test.log()}')
    return victim, words[1]


def try_to_move(test, pid, to, mode, tables):
    """All that can be moved. The tables always are; what comes and goes may be gone before it is moved, and is told then."""
    if mode != 'churn':
        test.move(pid, to)
        return
    test.move(pid, to, tables)
    test.move_most(pid, to)


def is_refused(test, pid, tables):
    for verb in ['move', pid, tables, '--to', 'thp'], ['snapshot', pid, '-o', test.path('core')]:
        done = test.memredirect(*verb, status=None)
        check(done.returncode in (1, 77) and 'seccomp' in done.stderr and done.stderr.count('\n') == 1,
              f'{verb[0]} is refused, but with: {done.stderr}')
    check(not os.path.exists(test.path('core')), 'a core file of a refused snapshot')


def body(test):
    program, mode = test.arguments
    victim, tables = start(test, os.path.abspath(program), mode)
    before = regions(victim.pid)
    descriptors = os.listdir(f'/proc/{victim.pid}/fd')
    for _ in range(TIMES):
        for to in 'thp', 'anon':
            try:
                if mode == 'filter':
                    is_refused(test, victim.pid, tables)
                else:
                    try_to_move(test, victim.pid, to, mode, tables)
            finally:
                check(victim.poll() is None, f'the victim has ended, status {victim.poll()}: {test.log()}')
    if mode == 'plain':
        check(regions(victim.pid) == before, f'the mappings were {before} and are {regions(victim.pid)}')
    if mode != 'fork':
        check(os.listdir(f'/proc/{victim.pid}/fd') == descriptors, 'descriptors stay behind')
    victim.stdin.close()
    said = victim.stdout.read()
    check(test.end(victim, None) == 0 and said.startswith('ok'), f'the victim found something wrong: {said}{test.log()}')
    print(said.strip())


main(body)
