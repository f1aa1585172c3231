/* SPDX-License-Identifier: MIT */
/*
 * Callers that are killed at each step of what they do to another process.
 *
 * A child of the test opens a subject (see subject.h), and snapshots it or moves memory of it; at its nth system call it dies by
 * SIGKILL, and its helper with it, for n = 1, 2, … until it gets done before. The subject must go on after each, and see nothing wrong;
 * the next caller meets what the last one has left. At the end one gets done all of it, and nothing of the library's is left.
 *
 * Catches: a step behind which a thread stays stopped, bytes are lost, or a mapping stays that nobody knows.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "deeds.h"
#include "subject.h"
#include "sys/inject.h"
#include "wait.h"

#define LENGTH (UINT64_C(2) << 20)

/* No deed makes so many calls. */
#define MOST_STEPS 20000

struct order {
	struct subject *subject;
	const struct deed *deed;
	long step; /* 0: it lives */
};

static _Noreturn void die(const char *what, const struct order *order)
{
	fprintf(stderr, "%s: %s, step %ld\n", order->deed->name, what, order->step);
	subject_abandon(order->subject);
	exit(1);
}

static int do_deed(struct child *self, void *argument)
{
	const struct order *order = argument;
	struct mr_task *task;
	int error;

	(void)self;
	mr_error_set("before", "nothing has failed yet");
	if (order->step)
		mr_inject_arm_death(order->step);
	error = mr_task_open(order->subject->child.pid, &task);
	if (!error) {
		error = order->deed->act(task, order->subject->status);
		mr_task_unref(task);
	}
	mr_inject_disarm();
	if (!error && strcmp(mr_error(), "before: nothing has failed yet") != 0) { /* calls that succeed leave it alone */
		fprintf(stderr, "it has succeeded, and says \"%s\"\n", mr_error());
		return DEED_FAILED;
	}
	if (error && (!deed_may_be(error) || !order->step))
		fprintf(stderr, "%s\n", mr_error());
	return error ? deed_may_be(error) ? DEED_REFUSED : DEED_FAILED : 0;
}

/* Return: the child's status as waitpid makes it. */
static int give(struct order *order)
{
	struct child caller;
	int status;

	if (!child_start(&caller, do_deed, order) || !child_wait(&caller, &status))
		die("the caller does not begin, or does not end", order);
	if (WIFEXITED(status) && WEXITSTATUS(status) == DEED_FAILED)
		die("the caller failed", order);
	return status;
}

/* Whether somebody gets done what he does, and nothing is left then. */
static bool is_done(void *argument)
{
	return give(argument) == 0;
}

static long sweep(struct subject *subject, const struct deed *deed, long stride)
{
	struct order order = { .subject = subject, .deed = deed };
	long deaths = 0;

	for (order.step = 1; order.step < MOST_STEPS; order.step += stride) {
		if (!WIFSIGNALED(give(&order)))
			break;
		deaths++;
		if (!subject_is_well(subject))
			die("the subject is not well", &order);
	}
	order.step = 0;
	if (!wait_until(is_done, &order))
		die("nobody gets it done afterwards", &order);
	if (!subject_is_clean(subject))
		die("something is left in the subject", &order);
	return deaths;
}

int main(int argc, char **argv)
{
	struct subject subject;
	long stride = argc > 2 ? strtol(argv[2], NULL, 10) : 1;

	if (!subject_start(&subject, LENGTH))
		return 1;
	for (const struct deed *deed = deeds; deed->name; deed++)
		if (argc < 2 || strcmp(argv[1], deed->name) == 0)
			printf("%s: killed at %ld steps\n", deed->name, sweep(&subject, deed, stride));
	return !subject_end(&subject);
}
