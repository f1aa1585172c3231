/* SPDX-License-Identifier: MIT */
/* Clients of a map with an oracle. */
#include "clients.h"

#include "kind.h"
#include "pattern.h"
#include "stress.h"
#include "suite.h"

static bool is_counter(uint64_t offset)
{
	return offset % page_size() == page_size() - sizeof(uint64_t);
}

static bool is_of_any(const struct clients *clients, uint64_t word, uint64_t offset)
{
	for (unsigned i = 0; i < clients->memories; i++)
		if (word == pattern_word(i + 1, offset))
			return true;
	return false;
}

static void look(struct client *client, uint64_t offset)
{
	struct clients *clients = client->clients;
	uint64_t before = atomic_load(&clients->sequence);
	uint64_t word = __atomic_load_n((uint64_t *)(clients->address + offset), __ATOMIC_SEQ_CST);
	unsigned shown = atomic_load(&clients->shown);
	bool steady = !(before & 1) && atomic_load(&clients->sequence) == before;

	if (!is_of_any(clients, word, offset))
		atomic_fetch_add(&clients->wrong, 1);
	else if (steady && word != pattern_word(shown + 1, offset))
		atomic_fetch_add(&clients->stale, 1);
	client->done++;
}

static void *run(void *argument)
{
	struct client *client = argument;
	struct clients *clients = client->clients;
	uint64_t page = page_size();

	while (!atomic_load_explicit(&clients->stop, memory_order_relaxed)) {
		uint64_t offset = stress_random(&client->random) % (clients->length / sizeof(uint64_t)) * sizeof(uint64_t);

		if (client->writes) {
			offset = offset / page * page + page - sizeof(uint64_t);
			__atomic_fetch_add((uint64_t *)(clients->address + offset), 1, __ATOMIC_RELAXED);
			client->done++;
		} else if (!is_counter(offset)) {
			look(client, offset);
		}
	}
	return NULL;
}

void clients_start(struct clients *clients, unsigned readers, unsigned writers)
{
	clients->count = readers + writers;
	for (unsigned i = 0; i < clients->count; i++) {
		struct client *client = &clients->all[i];

		*client = (struct client){ .clients = clients, .random = stress_seed() + i, .writes = i >= readers };
		assert_true(thread_start(&client->thread, run, client));
	}
}

uint64_t clients_stop(struct clients *clients)
{
	uint64_t additions = 0;

	atomic_store(&clients->stop, true);
	for (unsigned i = 0; i < clients->count; i++) {
		thread_join(&clients->all[i].thread);
		if (clients->all[i].writes)
			additions += clients->all[i].done;
	}
	return additions;
}

void clients_redirect_begins(struct clients *clients)
{
	atomic_fetch_add(&clients->sequence, 1);
}

void clients_redirect_ended(struct clients *clients, unsigned shown)
{
	atomic_store(&clients->shown, shown);
	atomic_fetch_add(&clients->sequence, 1);
}

uint64_t clients_additions(struct mr_memory *memory, unsigned index, uint64_t length)
{
	uint64_t page = page_size(), sum = 0;

	for (uint64_t offset = page - sizeof(uint64_t); offset < length; offset += page) {
		uint64_t word;

		assert_ok(mr_memory_read(memory, offset, &word, sizeof(word)));
		sum += word - pattern_word(index + 1, offset);
	}
	return sum;
}
