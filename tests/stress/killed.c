/* SPDX-License-Identifier: MIT */
/*
 * Callers that are killed, at any instant, while they do something to another process.
 *
 * In each round a child of the test opens a subject (see subject.h), and snapshots it or moves memory of it, again and again; after a
 * random time it is killed. The subject must go on, and see nothing wrong. Some callers are left alone, and must get done what they do, also
 * in a subject in which others were killed; after that, it has nothing of the library's in it. If one is refused for lack of time, which
 * is counted, another one is let do it.
 *
 * Catches: a thread that stays stopped, or runs on with registers of ours; bytes that are lost with the caller; an agent that does not
 * leave, or cannot be planted again; a mapping left behind.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deeds.h"
#include "stress.h"
#include "subject.h"
#include "wait.h"

#define LENGTH (UINT64_C(8) << 20)

static struct {
	struct subject subject;
	uint64_t killed, done, refused;
} run;

static unsigned count_deeds(void)
{
	unsigned count = 0;

	while (deeds[count].name)
		count++;
	return count;
}

static int act(struct mr_task *task, unsigned deed)
{
	return deeds[deed].act(task, run.subject.status);
}

static int act_once(struct child *self, void *argument)
{
	struct mr_task *task;
	int error;

	(void)self;
	require_ok(mr_task_open(run.subject.child.pid, &task));
	error = act(task, *(unsigned *)argument);
	require(!error || deed_may_be(error), "%d: %s", error, mr_error());
	mr_task_unref(task);
	return deed_may_be(error);
}

static int act_for_ever(struct child *self, void *argument)
{
	struct mr_task *task;

	(void)self;
	require_ok(mr_task_open(run.subject.child.pid, &task));
	for (unsigned deed = *(unsigned *)argument; deed < UINT32_MAX; deed++)
		act(task, deed % count_deeds());
	return 0;
}

static void kill_one(struct dice *dice, unsigned deed)
{
	struct child caller;
	int status;

	require(child_start(&caller, act_for_ever, &deed), "no child");
	usleep((useconds_t)dice_below(dice, dice_once_in(dice, 4) ? 200000 : 20000));
	kill(caller.pid, SIGKILL);
	require(child_wait(&caller, &status), "the caller does not end");
	require(WIFSIGNALED(status), "the caller ended with status %#x", status);
	run.killed++;
}

static bool a_snapshot_is_taken(void *argument)
{
	unsigned deed = 0;

	(void)argument;
	return child_run(act_once, &deed) == 0;
}

static void leave_one_alone(unsigned deed)
{
	int status = child_run(act_once, &deed);

	require(status == 0 || status == 1, "deed %u ended with status %d", deed, status);
	run.done += status == 0;
	run.refused += status == 1;
	if (status == 1)
		require(wait_until(a_snapshot_is_taken, NULL), "nobody gets anything done after deed %u", deed);
	require(subject_is_clean(&run.subject), "something is left in the subject after deed %u", deed);
}

int main(void)
{
	struct dice dice = stress_begin("killed");
	struct mr_task *task;

	require(subject_start(&run.subject, LENGTH), "no subject");
	require_ok(mr_task_open(run.subject.child.pid, &task));
	if (act(task, 0) == -EOPNOTSUPP || act(task, 1) == -EOPNOTSUPP) {
		mr_task_unref(task);
		subject_end(&run.subject);
		return stress_skip(mr_error());
	}
	mr_task_unref(task);
	for (unsigned round = 0; stress_goes_on() || (run.refused && !run.done); round++) {
		unsigned deed = (unsigned)dice_below(&dice, count_deeds());

		if (round % 8 == 7)
			leave_one_alone(deed);
		else
			kill_one(&dice, deed);
		require(subject_is_well(&run.subject), "the subject is not well after round %u, deed %u", round, deed);
	}
	require(run.done + run.refused == 0 || run.done, "nobody got anything done");
	require(subject_end(&run.subject), "the subject did not end well");
	return stress_end("%ju callers killed, %ju left alone, %ju of them refused", (uintmax_t)run.killed,
			  (uintmax_t)(run.done + run.refused), (uintmax_t)run.refused);
}
