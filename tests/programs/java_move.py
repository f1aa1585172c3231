# SPDX-License-Identifier: MIT
"""A Java program, whose garbage collector manages its pages by itself, is moved: each object is what was made, and the collector
goes on.
Arguments: the command, the collector, Churn.java."""
import os
import subprocess

from support import check, main

TIMES = 3


def body(test):
    collector, source = test.arguments
    java = test.program('java', 'default-jdk-headless')
    test.run(test.program('javac', 'default-jdk-headless'), '-d', test.folder, os.path.abspath(source))
    process = test.start(java, f'-XX:+Use{collector}GC', '-Xmx96m', '-XX:-UsePerfData', f'-XX:ErrorFile={test.path("hs_err")}',
                         '-cp', test.folder, 'Churn', stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    check(process.stdout.readline() == 'ready\n', f'the program does not start: {test.log()}')
    moved = 0
    for _ in range(TIMES):
        for to in 'thp', 'anon':
            moved += test.move_most(process.pid, to)
            check(process.poll() is None, f'java has ended: {test.log()}{test.log("hs_err")}')
    check(moved > 0, 'nothing was moved')
    process.stdin.close()
    said = process.stdout.read()
    check(test.end(process, None) == 0 and said.startswith('ok'), f'java found something wrong: {said}{test.log()}')
    print(f'{moved >> 20} MiB moved; {said.strip()}')


main(body)
