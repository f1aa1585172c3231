# SPDX-License-Identifier: MIT
"""A snapshot of a program is a core file as the kernel's are: gdb finds each thread's functions, arguments and the program's
variables in it, eu-readelf its notes and segments, and what is empty takes no space.
Arguments: the command, the program (threads.c)."""
import os
import re
import subprocess

from support import check, main

SPARSE = 256 << 20


def gdb(test, program, core, *commands):
    words = [test.program('gdb', 'gdb'), '-nx', '-batch', '-iex', 'set debuginfod enabled off']
    for command in commands:
        words += ['-ex', command]
    return test.run(*words, program, core, env={**os.environ, 'LC_ALL': 'C'}).stdout


def check_gdb(test, program, core):
    said = gdb(test, program, core, 'thread apply all backtrace', 'print answer', 'print sparse[134217728]', 'print sparse[1]',
               'print hollow[0]', 'info sharedlibrary')
    check(len(re.findall(r'^Thread \d+ ', said, re.M)) == 3, f'not three threads: {said}')
    for wanted in (r'first_thread_waits \(number=1001\)', 'second_thread_spins', r'in main \(\)', 'wait_for_ever', r'^\$1 = 42$',
                   r"^\$2 = 120 'x'$", r"^\$3 = 0 '\\000'$", r"^\$4 = 121 'y'$", 'libc.so'):
        check(re.search(wanted, said, re.M), f'gdb does not find {wanted}: {said}')


def check_notes(test, program, core, pid):
    readelf = test.program('eu-readelf', 'elfutils')
    notes = test.run(readelf, '-n', core).stdout
    check(len(re.findall(r'\bPRSTATUS\b', notes)) == 3, f'not a PRSTATUS of each thread: {notes}')
    for wanted in 'PRPSINFO', 'AUXV', r'\bFILE\b', re.escape(os.path.basename(program)), f'pid: {pid}', 'SYSINFO_EHDR', r'libc\.so':
        check(re.search(wanted, notes), f'the notes have no {wanted}: {notes}')
    segments = test.run(readelf, '-l', core).stdout
    loads = re.findall(r'^ +LOAD +\S+ +(\S+) \S+ (\S+) (\S+)', segments, re.M)
    check(any(int(file, 16) == int(memory, 16) >= SPARSE for _, file, memory in loads), f'no segment of 256 MiB: {segments}')
    with open(f'/proc/{pid}/maps', encoding='ascii') as maps:
        writable = {int(line.split('-')[0], 16) for line in maps
                    if line.split()[1].startswith('rw') and '/memfd:apart' not in line}
    missing = writable - {int(start, 16) for start, *_ in loads}
    check(not missing, f'writable memory that has no segment: {[hex(start) for start in missing]}')


def body(test):
    program = os.path.abspath(test.arguments[0])
    process = test.start(program, stdout=subprocess.PIPE, text=True)
    check(process.stdout.readline() == 'ready\n', f'the program does not start: {test.log()}')
    core = test.path('core')
    test.memredirect('snapshot', process.pid, '-o', core)
    check(process.poll() is None, 'the program has ended')
    status = os.stat(core)
    check(status.st_size > SPARSE > 4 * status.st_blocks * 512,
          f'the file has {status.st_size} bytes, and takes {status.st_blocks * 512}')
    check(status.st_mode & 0o777 == 0o600, f'others may read the file: {status.st_mode:o}')
    check_gdb(test, program, core)
    check_notes(test, program, core, process.pid)
    test.end(process)


main(body)
