/* SPDX-License-Identifier: MIT */
/* An NBD server of a test's. */
#include "server.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"
#include "wait.h"

static bool in_path(const char *program)
{
	static const char *const folders[] = { "/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/local/sbin" };
	char path[64];

	for (size_t i = 0; i < COUNT(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", folders[i], program);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

bool server_available(void)
{
	static const char *const programs[] = { "nbdkit", "qemu-nbd", "qemu-img" };

	for (size_t i = 0; i < COUNT(programs); i++) {
		if (!in_path(programs[i])) {
			suite_skip(programs[i]);
			return false;
		}
	}
	return true;
}

void server_init(struct server *server)
{
	*server = (struct server){ .folder = "/var/tmp/memredirect-nbd.XXXXXX" };
	assert_non_null(mkdtemp(server->folder));
	snprintf(server->socket, sizeof(server->socket), "%s/socket", server->folder);
	snprintf(server->uri, sizeof(server->uri), "nbd+unix:///?socket=%s", server->socket);
}

static void add_word(struct server *server, const char *word)
{
	assert_true(server->count < SERVER_WORDS - 1);
	snprintf(server->words[server->count++], sizeof(server->words[0]), "%s", word);
}

void server_command(struct server *server, const char *format, ...)
{
	char line[1024], socket[128], *rest = line, *word;
	va_list arguments;

	va_start(arguments, format);
	assert_true((size_t)vsnprintf(line, sizeof(line), format, arguments) < sizeof(line));
	va_end(arguments);
	server->count = 0;
	while ((word = strsep(&rest, " "))) {
		add_word(server, word);
		if (server->count > 1)
			continue;
		if (!strcmp(word, "nbdkit")) {
			add_word(server, "--foreground");
			add_word(server, "--unix");
			add_word(server, server->socket);
		} else {
			snprintf(socket, sizeof(socket), "--socket=%s", server->socket);
			add_word(server, socket);
			add_word(server, "--persistent");
		}
	}
}

static void execute(const struct server *server, char *const *words)
{
	int log = chdir(server->folder) ? -1 : open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (log < 0)
		_exit(126);
	dup2(log, STDERR_FILENO);
	dup2(log, STDOUT_FILENO);
	syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	execvp(words[0], words);
	_exit(127);
}

static bool listens(void *argument)
{
	const struct server *server = argument;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool up;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->socket);
	up = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return up;
}

void server_start(struct server *server)
{
	char *words[SERVER_WORDS];

	for (size_t i = 0; i < server->count; i++)
		words[i] = server->words[i];
	words[server->count] = NULL;
	unlink(server->socket);
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (!server->pid)
		execute(server, words);
	if (!wait_until(listens, server)) {
		server_run(server, "cat log");
		fail_msg("%s does not listen", server->words[0]);
	}
}

static void end_by(struct server *server, int signal_number)
{
	int status;

	if (!server->pid)
		return;
	kill(server->pid, signal_number);
	while (waitpid(server->pid, &status, 0) < 0)
		;
	server->pid = 0;
}

void server_kill(struct server *server)
{
	end_by(server, SIGKILL);
}

void server_end(struct server *server)
{
	end_by(server, SIGTERM);
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
	(void)about;
	(void)kind;
	(void)place;
	return remove(path);
}

void server_remove(struct server *server)
{
	server_kill(server);
	nftw(server->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void server_file(const struct server *server, const char *name, uint64_t size)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", server->folder, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

unsigned server_lines(const struct server *server, const char *name, const char *text)
{
	char path[160], line[512];
	unsigned count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", server->folder, name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		count += strstr(line, text) != NULL;
	fclose(file);
	return count;
}

void server_run(const struct server *server, const char *format, ...)
{
	char line[1024], *words[SERVER_WORDS], *rest = line;
	va_list arguments;
	int status, count = 0;
	pid_t pid;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	while ((words[count] = strsep(&rest, " ")))
		count++;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		execute(server, words);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}
