/* SPDX-License-Identifier: MIT */
/* The bytes that decide what is done. Behind their end there are zeroes. */
#ifndef INPUT_H
#define INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input {
	const uint8_t *bytes;
	size_t size;
	size_t at;
};

static inline bool input_is_over(const struct input *input)
{
	return input->at >= input->size;
}

static inline uint8_t input_byte(struct input *input)
{
	return input_is_over(input) ? 0 : input->bytes[input->at++];
}

/* A number below @end, which is 65536 at most. */
static inline uint32_t input_below(struct input *input, uint32_t end)
{
	uint32_t number = input_byte(input);

	if (end > 256)
		number = number << 8 | input_byte(input);
	return end ? number % end : 0;
}

/* Once in @times, and never when the input is over. */
static inline bool input_once_in(struct input *input, uint32_t times)
{
	return !input_is_over(input) && input_below(input, times) == times - 1;
}

#endif
