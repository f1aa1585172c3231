/* SPDX-License-Identifier: MIT */
/* The sentence of this thread's last failure. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "public.h"

static _Thread_local struct sentence last = { .call = "memredirect" };

const char *mr_error(void)
{
	return last.text;
}

void mr_error_set(const char *function, const char *said)
{
	const char *before = last.call; /* whoever called, if this is a callback */

	error_call(function ? function : "memredirect");
	error_note("%s", said ? said : "there is nothing to say");
	error_call(before);
}

void error_call(const char *function)
{
	last.call = function;
}

static size_t compose(const char *format, va_list arguments)
{
	int begun = snprintf(last.text, sizeof(last.text), "%s: ", last.call);
	size_t used = begun > 0 ? (size_t)begun : 0;
	int rest = vsnprintf(last.text + used, sizeof(last.text) - used, format, arguments);

	used += rest > 0 ? (size_t)rest : 0;
	return used < sizeof(last.text) ? used : sizeof(last.text) - 1;
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
	snprintf(last.text + used, sizeof(last.text) - used, ": %s", strerror(-error));
}

void error_keep(struct sentence *ret_before)
{
	*ret_before = last;
}

void error_forgive(const struct sentence *before)
{
	last = *before;
}

void error_listen(struct sentence *ret_before)
{
	*ret_before = last;
	last.text[0] = '\0';
}

void error_heard(const struct sentence *before, struct sentence *ret_said)
{
	if (ret_said)
		*ret_said = last;
	last = *before;
}

void error_add(const struct sentence *said)
{
	size_t used = strlen(last.text), room = sizeof(last.text) - used;

	if (*said->text && room > sizeof(" ()"))
		snprintf(last.text + used, room, " (%.*s)", (int)(room - sizeof(" ()")), said->text);
}
