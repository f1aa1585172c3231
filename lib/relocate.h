/* SPDX-License-Identifier: MIT */
/* A move of memory of another process: what it is of, where it goes, how far it is. */
#ifndef RELOCATE_H
#define RELOCATE_H

#include "copy.h"
#include "inject/plant.h"
#include "task.h"

/* What a mapping is now. */
enum origin {
	ORIGIN_ANONYMOUS, /* private, of ordinary or transparent huge pages */
	ORIGIN_HUGE,	  /* private, of hugetlb */
	ORIGIN_MEMFD,	  /* shared, where a move has put it */
	ORIGIN_FILE,	  /* shared, of a file */
};

struct relocation {
	struct copy copy;
	struct mr_task *task;
	uint64_t address;
	struct mr_place place;
	struct survey found; /* the mapping */
	enum origin origin;  /* what kind of mapping that is */
	uint64_t start, length;
	bool swapped; /* some memory of the process is swapped out */
	struct plant plant;
	uint64_t stage, park;
	int64_t uffd;	 /* in the agent: notes who writes */
	int64_t barrier; /* in the agent: lets writers wait; -1: none is needed */
	int pagemap;
	uint64_t *copied; /* a bit for each page that has been copied */
	uint64_t *there;  /* a bit for each page that is there in the end */
	bool hurries;	  /* no pace, and no word to the caller, in the helper */
	struct agent_run runs[AGENT_RUNS];
	uint64_t run_count, run_bytes;
	uint64_t done; /* bytes of this round */
};

/* A system call of the agent's. */
int64_t relocation_ask(const struct relocation *move, long number, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e,
		       int64_t f);

/* Whether memory can be put there, and whether this mapping, which has been found, can. Make sentences. */
int placement_check(const struct relocation *move);
int placement_check_mapping(struct relocation *move);

/* That no other process has memory mapped that is shared. Makes sentences. */
int placement_check_sharers(const struct relocation *move);

/* What the stage is mapped from: a descriptor of the agent's, -1 for anonymous memory; and flags for mmap(2). Makes sentences. */
int placement_open(struct relocation *move, int64_t *ret_fd, int *ret_flags);

/* The userfaultfds. Makes sentences. */
int placement_open_uffds(struct relocation *move);

/* Whether the new mapping is private and anonymous, of pages that can be given back one by one. */
bool placement_is_plain(const struct relocation *move);

#endif
