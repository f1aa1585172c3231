/* SPDX-License-Identifier: MIT */
/* mr_memory_new_nbd: a pager on an export. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#pragma GCC visibility push(default)
#include <memredirect-nbd.h>
#pragma GCC visibility pop

#include "export.h"
#include "pages.h"

/* What is read at once if the server does not want more, and at most. */
#define BLOCK_LEAST ((uint64_t)64 << 10)
#define BLOCK_MOST  ((uint64_t)4 << 20)

static int refuse(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(int error, const char *format, ...)
{
	char sentence[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	mr_error_set("mr_memory_new_nbd", sentence);
	return error;
}

static int check_facts(const char *uri, const struct facts *facts)
{
	if (!facts->size)
		return refuse(-EINVAL, "%s: the export has no bytes", uri);
	if (facts->minimum & (facts->minimum - 1) || !facts->maximum || facts->size % facts->minimum)
		return refuse(
			-EINVAL,
			"%s: the server takes requests in blocks of %llu bytes, %llu at most, and its export has %llu: not whole blocks",
			uri, (unsigned long long)facts->minimum, (unsigned long long)facts->maximum,
			(unsigned long long)facts->size);
	return 0;
}

/* The power of two that the server prefers, within what makes sense here. */
static uint64_t block_of(const struct facts *facts)
{
	uint64_t block = BLOCK_LEAST, page = (uint64_t)sysconf(_SC_PAGESIZE);

	while (block < BLOCK_MOST && block < facts->preferred)
		block *= 2;
	while (block < facts->minimum || block < page)
		block *= 2;
	return block;
}

/* The pager's sentence under this call's name. */
static int pass_on(int error, const char *uri)
{
	const char *said = strchr(mr_error(), ':');

	return refuse(error, "%s: %s", uri, said && said[1] ? said + 2 : mr_error());
}

static int new_pager(struct pages *pages, const struct facts *facts, uint64_t cache, uint32_t options,
		     struct mr_memory **ret_memory)
{
	struct mr_pager pager = {
		.size = sizeof(pager),
		.block = block_of(facts),
		.read = pages_read,
		.write = options & MR_MEMORY_READ_ONLY ? NULL : pages_write,
		.flush = options & MR_MEMORY_READ_ONLY ? NULL : pages_flush,
		.release = pages_release,
		.arg = pages,
	};

	return mr_memory_new_pager(&pager, facts->size, cache, options, ret_memory);
}

static int new_memory(const char *uri, struct export *export, uint64_t cache, uint32_t options, struct mr_memory **ret_memory)
{
	const struct facts *facts = export_facts(export);
	struct pages *pages;
	int result = check_facts(uri, facts);

	if (result) {
		export_close(export);
		return result;
	}
	pages = pages_new(export);
	if (!pages) {
		export_close(export);
		return refuse(-ENOMEM, "%s: there is no memory for it", uri);
	}
	result = new_pager(pages, facts, cache, options | (facts->read_only ? MR_MEMORY_READ_ONLY : 0), ret_memory);
	if (!result)
		return 0;
	pages_free(pages);
	return pass_on(result, uri);
}

int mr_memory_new_nbd(const char *uri, uint64_t cache, uint32_t options, struct mr_memory **ret_memory)
{
	struct export *export;
	struct words words;
	int result;

	if (!uri || !*uri)
		return refuse(-EINVAL, "uri is %s: it takes one such as nbd+unix:///?socket=PATH", uri ? "empty" : "NULL");
	if (!ret_memory)
		return refuse(-EINVAL, "ret_memory is NULL: it takes a place for the new memory");
	if (options & ~(uint32_t)MR_MEMORY_READ_ONLY)
		return refuse(-EINVAL, "options are %#x: MR_MEMORY_READ_ONLY is the only one", options);
	result = export_open(uri, &export, &words);
	if (result)
		return refuse(result, "%s: %s", uri, words.text);
	return new_memory(uri, export, cache, options, ret_memory);
}
