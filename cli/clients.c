/* SPDX-License-Identifier: MIT */
/* Threads that access memory and are measured. */
#include "clients.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "command.h"

/* More than any stall on a loaded machine; who has not moved by then never will. */
#define PATIENCE UINT64_C(30000000000) /* ns */

#define SHOWN_ERRORS 5

static _Thread_local struct client *self;

static void on_fault(int signal_number)
{
	if (self)
		siglongjmp(self->fault, signal_number);
	signal(signal_number, SIG_DFL);
}

void client_error(struct client *client, const char *format, ...)
{
	va_list arguments;
	char text[160];

	if (atomic_fetch_add(&client->errors, 1) >= SHOWN_ERRORS)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	complain("client %u: %s", client->index, text);
}

static void *run(void *argument)
{
	struct client *client = argument;
	struct clients *clients = client->clients;
	int fault;

	self = client;
	gauge_begin(&client->gauge);
	fault = sigsetjmp(client->fault, 1);
	if (fault)
		client_error(client, "an access got %s", fault == SIGBUS ? "SIGBUS" : "SIGSEGV");
	while (!atomic_load_explicit(&clients->stop, memory_order_relaxed)) {
		clients->step(client, clients->argument);
		gauge_tick(&client->gauge);
	}
	gauge_end(&client->gauge);
	return NULL;
}

static void catch_faults(void)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

bool clients_start(struct clients *clients, unsigned count, void (*step)(struct client *client, void *argument), void *argument)
{
	*clients = (struct clients){ .step = step, .argument = argument };
	clients->all = calloc(count, sizeof(*clients->all));
	if (!clients->all)
		return false;
	catch_faults();
	for (unsigned i = 0; i < count; i++) {
		struct client *client = &clients->all[i];

		client->index = i;
		client->clients = clients;
		client->random = now() + i;
		if (pthread_create(&client->thread, NULL, run, client)) {
			clients_stop(clients);
			clients_free(clients);
			return false;
		}
		clients->count++;
	}
	return true;
}

static bool goes_on(struct client *client, uint64_t deadline)
{
	static const struct timespec pause = { .tv_nsec = 20000 };
	uint64_t before = atomic_load(&client->gauge.ticks);

	while (atomic_load_explicit(&client->gauge.ticks, memory_order_acquire) < before + 2) {
		if (now() > deadline)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

bool clients_go_on(struct clients *clients)
{
	uint64_t deadline = now() + PATIENCE;

	for (unsigned i = 0; i < clients->count; i++)
		if (!goes_on(&clients->all[i], deadline))
			return false;
	return true;
}

uint64_t clients_take(struct clients *clients)
{
	uint64_t longest = 0;

	for (unsigned i = 0; i < clients->count; i++) {
		uint64_t gap = gauge_take(&clients->all[i].gauge);

		if (gap > longest)
			longest = gap;
	}
	return longest;
}

bool clients_stop(struct clients *clients)
{
	struct timespec deadline;
	bool all = true;

	atomic_store(&clients->stop, true);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += (time_t)(PATIENCE / 1000000000);
	for (unsigned i = 0; i < clients->count; i++)
		all &= pthread_timedjoin_np(clients->all[i].thread, NULL, &deadline) == 0;
	return all;
}

uint64_t clients_bytes(const struct clients *clients)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < clients->count; i++)
		sum += clients->all[i].bytes;
	return sum;
}

uint64_t clients_writes(const struct clients *clients)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < clients->count; i++)
		sum += clients->all[i].writes;
	return sum;
}

uint64_t clients_errors(const struct clients *clients)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < clients->count; i++)
		sum += clients->all[i].errors;
	return sum;
}

void clients_free(struct clients *clients)
{
	free(clients->all);
	*clients = (struct clients){ 0 };
}
