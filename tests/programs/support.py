# SPDX-License-Identifier: MIT
"""What the tests on real programs share: a place of their own, programs that are ended by pid, deadlines, the command.

A test is a function that is given a Test. Servers listen on unix sockets in its folder alone. A program that is not
installed, or a machine that cannot, is a skip (status 77) whose reason is the last line that is printed.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

DEADLINE = 120  # seconds, for whatever is waited for: reached only when something hangs


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def check(condition, sentence):
    if not condition:
        raise Failed(sentence)


class Test:
    def __init__(self, command, *arguments):
        self.command = os.path.abspath(command)
        self.arguments = arguments
        self.folder = tempfile.mkdtemp(prefix='memredirect-programs.')
        os.chmod(self.folder, 0o755)
        self.started = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def program(self, name, package, places=()):
        """Where a program is; the test is skipped if it is not there."""
        found = shutil.which(name, path=os.pathsep.join([os.environ.get('PATH', ''), *places]))
        if not found:
            raise Skipped(f'{name} is not installed (package {package})')
        return found

    def start(self, *words, log='log', **options):
        """A program, which is ended with the test; what it says goes to a log, unless it is wanted."""
        with open(self.path(log), 'ab') as output:
            options.setdefault('stdout', output)
            options.setdefault('stderr', output)
            options.setdefault('stdin', subprocess.DEVNULL)
            process = subprocess.Popen(words, cwd=self.folder, **options)
        self.started.append(process)
        return process

    def run(self, *words, status=0, **options):
        """A program to its end, which has to have this status (None: any)."""
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=DEADLINE, check=False, cwd=self.folder, **options)
        check(status in (None, done.returncode), f'{" ".join(map(str, words))}: status {done.returncode}, not {status}\n'
              f'{done.stdout[-4000:]}{done.stderr[-4000:]}{self.log()}')
        return done

    def memredirect(self, *words, status=0):
        done = self.run(self.command, *map(str, words), status=None)
        if done.returncode == 77 and status == 0:
            raise Skipped(done.stderr.strip())
        check(status in (None, done.returncode),
              f'{" ".join(map(str, words))}: status {done.returncode}, not {status}\n{done.stderr}')
        return done

    def move(self, pid, to, *ranges):
        """Move, and return the rows of the report; every mapping that was selected has to have been moved."""
        rows = json.loads(self.memredirect('move', pid, *(ranges or ['all']), '--to', to, '--json').stdout)['mappings']
        check(rows and all(row['result'] == 'moved' for row in rows), f'not all has been moved: {rows}')
        return rows

    def move_most(self, pid, to, *ranges):
        """Move what comes and goes meanwhile, too: what has changed is told, and stays as it is. How many bytes were moved."""
        done = self.memredirect('move', pid, *(ranges or ['all']), '--to', to, '--json', status=None)
        check(done.returncode in (0, 1) and done.stdout, f'status {done.returncode}: {done.stderr}')
        rows = json.loads(done.stdout)['mappings']
        left = [row for row in rows if row['result'] != 'moved']
        check(done.returncode == (1 if left else 0), f'status {done.returncode}: {rows}')
        check(not left or done.stderr, f'not told what was not moved: {left}')
        if left:
            print(f'left as they are: {left}')
        return sum(row['length'] for row in rows if row['result'] == 'moved')

    def skip(self, reason):
        raise Skipped(reason)

    def wait(self, condition, what):
        """Until a condition holds; its value."""
        end = time.monotonic() + DEADLINE
        while True:
            value = condition()
            if value:
                return value
            check(time.monotonic() < end, f'waited {DEADLINE} s in vain until {what}; it said:\n{self.log()}')
            time.sleep(0.01)

    def log(self, name='log'):
        if not os.path.exists(self.path(name)):
            return ''
        with open(self.path(name), encoding='utf-8', errors='replace') as file:
            return file.read()[-4000:]

    def end(self, process, how=signal.SIGTERM):
        """Its status, after this signal (None: it ends by itself)."""
        if how and process.poll() is None:
            process.send_signal(how)
        try:
            return process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failed(f'{process.args[0]} did not end within {DEADLINE} s') from None

    def clean_up(self):
        for process in reversed(self.started):
            if process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


# -- what the kernel tells --

def regions(pid):
    """The mappings of a process: (range, protection, name)."""
    with open(f'/proc/{pid}/maps', encoding='utf-8') as file:
        lines = [line.split(maxsplit=5) for line in file]
    return [(words[0], words[1], words[5].strip() if len(words) > 5 else '') for words in lines]


def memory(pid, field):
    """A sum in bytes of smaps_rollup: Rss, AnonHugePages…"""
    with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as file:
        return int(re.search(rf'^{field}: +(\d+) kB', file.read(), re.M).group(1)) * 1024


def has_huge_pages():
    try:
        with open('/sys/kernel/mm/transparent_hugepage/enabled', encoding='ascii') as file:
            return '[never]' not in file.read()
    except FileNotFoundError:
        return False


def main(body):
    """Run a test: SCRIPT COMMAND ARGUMENT…"""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended by a signal: it took too long'))
    test = Test(*sys.argv[1:])
    status = 0
    try:
        body(test)
        print('ok')
    except Skipped as reason:
        print(reason)
        status = 77
    except Failed as sentence:
        print(f'FAILED: {sentence}')
        status = 1
    finally:
        test.clean_up()
    sys.exit(status)
