# SPDX-License-Identifier: MIT
"""Memory on which more hangs than its page tables is moved, or refused with a sentence, and is as it was: pages that are pinned,
futexes, stacks, what shrinks and grows, what other processes write to; and that of processes that are stopped, frozen, limited,
somebody else's, or of 32 bit.
Arguments: the command, the program pitfalls.c, the case."""
import os
import re
import resource
import select
import shutil
import signal
import subprocess

from support import DEADLINE, check, main, memory, regions

MIB = 1 << 20


class Victim:
    def __init__(self, test, program, **options):
        self.test = test
        self.process = test.start(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, **options)
        self.pid = self.process.pid
        words = self.hear().split()
        check(words[:1] == ['ready'], f'the victim does not start: {words} {test.log()}')
        self.range = words[1]

    def hear(self):
        check(select.select([self.process.stdout], [], [], DEADLINE)[0], f'the victim has not answered for {DEADLINE} s')
        return self.process.stdout.readline().decode().strip()

    def tell(self, word):
        self.process.stdin.write(f'{word}\n'.encode())

    def do(self, *words):
        for word in words:
            self.tell(word)
            said = self.hear()
            if said.startswith('skip: '):
                self.test.skip(said[6:])
            check(said == 'ok', f'{word}: {said or "the victim has ended"} {self.process.poll()} {self.test.log()}')

    def move(self, to):
        self.test.move(self.pid, to, self.range)

    def is_refused(self, reason, to='thp'):
        """The move, by one line that names the reason, and nothing else happens."""
        before = regions(self.pid)
        done = self.test.memredirect('move', self.pid, self.range, '--to', to, status=None)
        lines = [line for line in done.stderr.splitlines() if 'warning' not in line]
        check(done.returncode == 1 and len(lines) == 1 and reason in lines[0],
              f'not refused because of "{reason}": status {done.returncode}, {done.stdout}{done.stderr}')
        check(regions(self.pid) == before, f'the mappings were {before} and are {regions(self.pid)}')
        self.do('check')

    def sleeps(self, call):
        """Whether a thread sleeps in this system call."""
        calls = []
        for tid in os.listdir(f'/proc/{self.pid}/task'):
            with open(f'/proc/{self.pid}/task/{tid}/syscall', encoding='ascii') as file:
                calls.append(file.read().split()[0])
        return str(call) in calls

    def status(self, field):
        with open(f'/proc/{self.pid}/status', encoding='ascii') as file:
            return re.search(rf'^{field}:\s+(\S+)', file.read(), re.M).group(1)


def children(pid):
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
        return file.read().split()


FUTEX = 202  # the system call, on x86-64


def spliced(victim):
    for to in 'thp', 'memfd', 'anon':
        victim.do('fill-pipe')
        victim.move(to)
        victim.do('read-pipe', 'check')


def pinned(victim):
    victim.do('pin')
    for to in 'thp', 'memfd':
        victim.is_refused('pinned', to)


def queued(victim, word):
    """Transfers that may be under way go to the pages that there were when they began."""
    victim.do(word)
    for to in 'thp', 'memfd':
        victim.is_refused('asynchronous', to)


def ring(victim):
    queued(victim, 'make-ring')


def unmapped(victim):
    queued(victim, 'make-unmapped-ring')


def aio(victim):
    queued(victim, 'make-queue')


def waiting(victim, begin, end):
    """A thread begins to wait before each move, and is woken after it."""
    for to in 'thp', 'memfd', 'anon':
        victim.do(begin)
        victim.test.wait(lambda: victim.sleeps(FUTEX), 'a thread waits')
        victim.move(to)
        victim.test.wait(lambda: victim.sleeps(FUTEX), 'the thread waits again')
        victim.do(end, 'check')


def futex(victim):
    waiting(victim, 'wait-futex', 'wake')


def join(victim):
    waiting(victim, 'wait-join', 'end-thread')


def resized(victim):
    for to in 'thp', 'anon':
        before = [memory(victim.pid, field) for field in ('Anonymous', 'Pss_Shmem')]
        victim.move(to)
        after = [memory(victim.pid, field) for field in ('Anonymous', 'Pss_Shmem')]
        check(all(abs(a - b) < MIB for a, b in zip(after, before)), f'it had anonymous and shared {before}, and has {after}')
        victim.do('resize', 'check')


def limited(victim):
    """To what it has, or not much more: not even the agent has room, or what is staged has none. Then to enough."""
    before = regions(victim.pid)
    size = int(victim.status('VmSize')) * 1024
    for more, reason in (0, 'room'), (4 * MIB, 'cannot map'):
        resource.prlimit(victim.pid, resource.RLIMIT_AS, (size + more, resource.RLIM_INFINITY))
        victim.is_refused(reason)
    resource.prlimit(victim.pid, resource.RLIMIT_AS, (size + 64 * MIB, resource.RLIM_INFINITY))
    victim.move('thp')
    victim.do('check')
    check(regions(victim.pid) == before, f'the mappings were {before} and are {regions(victim.pid)}')


def shared(victim):
    """Refused, while another process counts in it; both see each write."""
    victim.do('share', 'start-child', 'compare-counts')
    for to in 'thp', 'memfd':
        victim.is_refused('shared', to)
        victim.do('compare-counts')


def inherited(victim):
    """The same with what was moved to a memfd before its process forked."""
    victim.move('memfd')
    victim.do('start-child', 'compare-counts')
    for to in 'thp', 'anon':
        victim.is_refused('is shared with process', to)
        victim.do('compare-counts')


def stopped(victim):
    os.kill(victim.pid, signal.SIGSTOP)
    victim.test.wait(lambda: victim.status('State') == 'T', 'the victim is stopped')
    victim.tell('check')
    done = victim.test.memredirect('move', victim.pid, victim.range, '--to', 'thp', status=1)
    check('is stopped' in done.stderr, f'refused, but with: {done.stderr}')
    check(victim.status('State') == 'T', 'the victim is not stopped any more')
    os.kill(victim.pid, signal.SIGCONT)
    check(victim.hear() == 'ok', 'the victim is not as it was')
    victim.move('thp')


def vforking(victim):
    victim.tell('vfork')
    victim.test.wait(lambda: children(victim.pid), 'the victim has a child')
    before = regions(victim.pid)
    for to in 'thp', 'memfd':
        done = victim.test.memredirect('move', victim.pid, victim.range, '--to', to, status=1)
        check('vfork' in done.stderr, f'refused, but with: {done.stderr}')
    victim.tell('')
    check(victim.hear() == 'ok' and regions(victim.pid) == before, 'the victim is not as it was')
    victim.move('thp')
    victim.do('check')


def cgroup(test):
    """A new cgroup that can be frozen."""
    with open('/proc/mounts', encoding='utf-8') as file:
        places = [line.split()[1] for line in file if line.split()[2] == 'cgroup2']
    if not places or os.geteuid() != 0:
        test.skip('there is no cgroup2 mounted, or this is not root')
    place = os.path.join(places[0], f'memredirect-{os.getpid()}')
    try:
        os.mkdir(place)
    except OSError as error:
        test.skip(f'a cgroup cannot be made: {error}')
    return place


def put(place, name, text):
    with open(os.path.join(place, name), 'w', encoding='ascii') as file:
        file.write(text)


def says(place, words):
    with open(os.path.join(place, 'cgroup.events'), encoding='ascii') as file:
        return words in file.read()


def vdso(pid):
    """Its bytes, behind which code is put."""
    start, end = next(range for range, _, name in regions(pid) if name == '[vdso]').split('-')
    with open(f'/proc/{pid}/mem', 'rb') as file:
        file.seek(int(start, 16))
        return file.read(int(end, 16) - int(start, 16))


def be_frozen(victim, place):
    before = regions(victim.pid), vdso(victim.pid)
    put(place, 'cgroup.procs', str(victim.pid))
    put(place, 'cgroup.freeze', '1')
    victim.test.wait(lambda: says(place, 'frozen 1'), 'the victim is frozen')
    victim.tell('check')
    done = victim.test.memredirect('move', victim.pid, victim.range, '--to', 'thp', status=1)
    check('frozen' in done.stderr, f'refused, but with: {done.stderr}')
    put(place, 'cgroup.freeze', '0')
    check(victim.hear() == 'ok', 'the victim is not as it was')
    check((regions(victim.pid), vdso(victim.pid)) == before, f'something stays behind: {regions(victim.pid)}')
    victim.move('thp')
    victim.do('check')


def frozen(victim):
    place = cgroup(victim.test)
    try:
        be_frozen(victim, place)
    finally:
        put(place, 'cgroup.freeze', '0')
        victim.test.end(victim.process, signal.SIGKILL)
        victim.test.wait(lambda: says(place, 'populated 0'), 'the cgroup is empty')
        os.rmdir(place)


def foreign(victim):
    """Somebody else's, who has no privileges."""
    for to in 'thp', 'memfd', 'anon':
        victim.move(to)
        victim.do('check')


def small(victim):
    for to in 'thp', 'memfd':
        victim.is_refused('32 bit', to)


CASES = {case.__name__: case for case in (spliced, pinned, ring, unmapped, aio, futex, join, resized, limited, shared, inherited, stopped,
                                          vforking, frozen, foreign, small)}


def body(test):
    program, case = test.arguments
    options = {}
    if case == 'foreign':
        if os.geteuid() != 0:
            test.skip('this is not root')
        options = {'user': 65534, 'group': 65534, 'extra_groups': []}
    place = shutil.copy(program, test.path('victim'))  # where everybody can reach it
    CASES[case](Victim(test, place, **options))


main(body)
