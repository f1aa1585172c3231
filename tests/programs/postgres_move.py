# SPDX-License-Identifier: MIT
"""Backends of PostgreSQL are moved under pgbench: no transaction fails, and at the end the balances are the sums of what was
booked. Their shared memory stays where it is."""
import glob
import os
import pwd

from support import Skipped, check, main

TIMES = 3
CLIENTS = 2
SECONDS = 3600  # pgbench is ended before


class Cluster:
    def __init__(self, test):
        self.test = test
        self.places = sorted(glob.glob('/usr/lib/postgresql/*/bin'), reverse=True)
        self.folder = test.path('cluster')
        self.become = []
        os.mkdir(self.folder)
        if os.getuid() == 0:  # as whom PostgreSQL does not run
            try:
                user = pwd.getpwnam('nobody')
            except KeyError:
                raise Skipped('there is no user nobody for PostgreSQL to run as') from None
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.become = [test.program('setpriv', 'util-linux'), f'--reuid={user.pw_uid}', f'--regid={user.pw_gid}',
                           '--clear-groups']
        self.run('initdb', '-D', os.path.join(self.folder, 'data'), '-A', 'trust', '-U', 'bench', '-N', '--locale=C')
        self.server = test.start(*self.words('postgres', '-D', os.path.join(self.folder, 'data'), '-k', self.folder, '-h', '',
                                             '-F', '-c', 'shared_buffers=32MB', '-c', 'jit=off'), log='postgres.log')
        test.wait(self.answers, 'PostgreSQL answers')

    def words(self, program, *words):
        return [*self.become, self.test.program(program, 'postgresql', self.places), *words]

    def run(self, program, *words, status=0):
        return self.test.run(*self.words(program, *words), status=status, env={**os.environ, 'HOME': self.folder})

    def answers(self):
        check(self.server.poll() is None, f'PostgreSQL has ended: {self.test.log("postgres.log")}')
        return self.run('psql', *self.client('postgres'), '-c', 'select 1', status=None).returncode == 0

    def client(self, base):
        return ['-h', self.folder, '-U', 'bench', '-XAt', base] if base else ['-h', self.folder, '-U', 'bench']

    def ask(self, question):
        return self.run('psql', *self.client('postgres'), '-c', question).stdout.strip()

    def backends(self):
        return [int(pid) for pid in self.ask("select pid from pg_stat_activity where application_name = 'pgbench'").split()]


def body(test):
    cluster = Cluster(test)
    cluster.run('pgbench', *cluster.client(None), '-i', '-q', '-s', '2', 'postgres')
    load = test.start(*cluster.words('pgbench', *cluster.client(None), '-n', '-c', str(CLIENTS), '-T', str(SECONDS), 'postgres'),
                      env={**os.environ, 'HOME': cluster.folder}, log='pgbench.log')
    backends = test.wait(lambda: len(cluster.backends()) == CLIENTS and cluster.backends(), 'pgbench is connected')
    moved = 0
    for _ in range(TIMES):
        for pid in backends:
            for to in 'thp', 'anon':
                moved += test.move_most(pid, to, 'all:64K')
                done = int(cluster.ask('select count(*) from pgbench_history'))
                test.wait(lambda before=done: int(cluster.ask('select count(*) from pgbench_history')) > before,
                          'transactions go on')
    check(moved > 0, 'nothing was moved')
    check(load.poll() is None, f'pgbench has ended: {test.log("pgbench.log")}')
    check(sorted(cluster.backends()) == sorted(backends), 'a backend has gone')
    test.end(load)
    test.wait(lambda: not cluster.backends(), 'the backends have ended')
    booked, *sums = cluster.ask('select count(*), sum(delta) from pgbench_history').split('|')
    for table, column in ('accounts', 'abalance'), ('tellers', 'tbalance'), ('branches', 'bbalance'):
        balance = cluster.ask(f'select sum({column}) from pgbench_{table}')
        check([balance] == sums, f'pgbench_{table}: the balances are {balance}, and {sums} was booked')
    cluster.ask('create extension amcheck')
    cluster.ask("select bt_index_check('pgbench_accounts_pkey', true)")
    test.end(cluster.server)
    check('PANIC' not in test.log('postgres.log'), f'PostgreSQL says: {test.log("postgres.log")}')
    print(f'{moved >> 20} MiB of {CLIENTS} backends moved, {booked} transactions')


main(body)
