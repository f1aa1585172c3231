/* SPDX-License-Identifier: MIT */
/*
 * A program of 32 bit, without any library, that has some memory and looks after it as pitfalls.c does: it prints
 * "ready ADDRESS-ADDRESS", and to each line of its standard input "ok", or "wrong".
 */
#include <stddef.h>
#include <stdint.h>

#define LENGTH ((size_t)8 << 20)

enum { EXIT = 1, READ = 3, WRITE = 4 }; /* system calls */

static volatile unsigned char memory[LENGTH] __attribute__((aligned(4096)));

static long call(long number, long a, const void *b, long c)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 31 + i / 4096 + 1);
}

static int is_whole(void)
{
	for (size_t i = 0; i < LENGTH; i++)
		if (memory[i] != byte_at(i))
			return 0;
	return 1;
}

static void write_address(char *text, uintptr_t address)
{
	for (unsigned i = 0; i < 8; i++)
		text[i] = "0123456789abcdef"[address >> (28 - 4 * i) & 15];
}

void _start(void);
void _start(void)
{
	char ready[] = "ready 00000000-00000000\n", line[64];

	for (size_t i = 0; i < LENGTH; i++)
		memory[i] = byte_at(i);
	write_address(ready + 6, (uintptr_t)memory);
	write_address(ready + 15, (uintptr_t)memory + LENGTH);
	call(WRITE, 1, ready, sizeof(ready) - 1);
	while (call(READ, 0, line, sizeof(line)) > 0)
		call(WRITE, 1, is_whole() ? "ok\n" : "wrong\n", is_whole() ? 3 : 6);
	call(EXIT, 0, NULL, 0);
}
