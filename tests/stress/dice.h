/* SPDX-License-Identifier: MIT */
/* Random numbers that a seed determines. Each thread rolls dice of its own. */
#ifndef DICE_H
#define DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
	uint64_t state;
};

static inline uint64_t dice_word(struct dice *dice)
{
	uint64_t word = dice->state += UINT64_C(0x9e3779b97f4a7c15);

	word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
	return word ^ word >> 31;
}

/* A number below @end, which is not 0. */
static inline uint64_t dice_below(struct dice *dice, uint64_t end)
{
	return dice_word(dice) % end;
}

/* True once in @times. */
static inline bool dice_once_in(struct dice *dice, uint64_t times)
{
	return dice_below(dice, times) == 0;
}

/* Dice for another thread. */
static inline struct dice dice_split(struct dice *dice)
{
	return (struct dice){ dice_word(dice) };
}

#endif
