/* SPDX-License-Identifier: MIT */
/* The sentence of this thread's last failure. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "public.h"

static _Thread_local const char *call = "memredirect";
static _Thread_local char sentence[512];

const char *mr_error(void)
{
	return sentence;
}

void mr_error_set(const char *function, const char *said)
{
	error_call(function ? function : "memredirect");
	error_note("%s", said ? said : "there is nothing to say");
}

void error_call(const char *function)
{
	call = function;
}

static size_t compose(const char *format, va_list arguments)
{
	int begun = snprintf(sentence, sizeof(sentence), "%s: ", call);
	size_t used = begun > 0 ? (size_t)begun : 0;
	int rest = vsnprintf(sentence + used, sizeof(sentence) - used, format, arguments);

	used += rest > 0 ? (size_t)rest : 0;
	return used < sizeof(sentence) ? used : sizeof(sentence) - 1;
}

void error_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	compose(format, arguments);
	va_end(arguments);
}

void error_note_system(int error, const char *format, ...)
{
	va_list arguments;
	size_t used;

	va_start(arguments, format);
	used = compose(format, arguments);
	va_end(arguments);
	snprintf(sentence + used, sizeof(sentence) - used, ": %s", strerror(-error));
}
