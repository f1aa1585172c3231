/* SPDX-License-Identifier: MIT */
/*
 * An ELF core file of a task that stands still, as the kernel would write it: notes, and a segment for each mapping. Memory that can be
 * had from a file is there by reference (NT_FILE), and pages of zeroes are holes.
 *
 *	header | program headers | notes | segments, each from a page on
 */
#include "core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "command.h"

#define PAGE  UINT64_C(4096)
#define BLOCK (UINT64_C(1) << 20)

/* What processor this is. */
#if defined(__x86_64__)
#define MACHINE EM_X86_64
#else
#define MACHINE EM_NONE
#endif

struct segment {
	uint64_t start, length, offset, stored; /* stored: bytes of it in the file */
	uint64_t place;				/* in the file */
	uint32_t protection;
	char *name; /* of a file; NULL: there is none */
};

/* Bytes that grow. */
struct bytes {
	char *data;
	size_t length, room;
	bool failed;
};

struct writer {
	struct core *core;
	int fd;
	struct segment *segments;
	size_t count, room;
	struct bytes notes;
	uint64_t total, done; /* bytes to store */
	bool failed;
};

static void fail_writer(struct writer *writer, const char *what, const char *why)
{
	if (!writer->failed)
		complain("%s: %s", what, why);
	writer->failed = true;
}

/* -- what is stored -- */

static bool is_file(const struct mr_region *region)
{
	static const char *const others[] = { "/dev/zero", "/memfd:", "/SYSV", "/dev/shm/", "/anon_hugepage" };

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (strncmp(region->name, others[i], strlen(others[i])) == 0)
			return false;
	return region->name[0] == '/';
}

/* How many bytes of a region the file has: what nothing else has. Of an ELF file that is mapped, the first page tells which it is. */
static uint64_t bytes_to_store(const struct writer *writer, const struct mr_region *region)
{
	struct mr_range part;

	if (!(region->protection & PROT_READ) || strncmp(region->name, "[vvar", 5) == 0)
		return 0;
	if (!selection_part(writer->core->selections, writer->core->selection_count, region, &part))
		return 0;
	if (region->anonymous || strcmp(region->name, "[vdso]") == 0)
		return region->length;
	return region->shared || region->offset || !is_file(region) ? 0 : PAGE;
}

static int add_segment(void *argument, const struct mr_region *region)
{
	struct writer *writer = argument;
	struct segment *segment;

	if (strcmp(region->name, "[vsyscall]") == 0)
		return 0;
	if (writer->count == writer->room) {
		size_t room = writer->room ? 2 * writer->room : 64;
		struct segment *segments = realloc(writer->segments, room * sizeof(*segments));

		if (!segments)
			return -ENOMEM;
		writer->segments = segments;
		writer->room = room;
	}
	segment = &writer->segments[writer->count++];
	*segment = (struct segment){ .start = region->start, .length = region->length, .offset = region->offset };
	segment->protection = region->protection;
	segment->stored = bytes_to_store(writer, region);
	segment->name = is_file(region) ? strdup(region->name) : NULL;
	writer->total += segment->stored;
	return 0;
}

/* -- notes -- */

static void append(struct bytes *bytes, const void *data, size_t length)
{
	if (!length)
		return;
	if (bytes->length + length > bytes->room) {
		size_t room = 2 * (bytes->length + length);
		char *more = realloc(bytes->data, room);

		bytes->failed |= !more;
		if (!more)
			return;
		bytes->data = more;
		bytes->room = room;
	}
	memcpy(bytes->data + bytes->length, data, length);
	bytes->length += length;
}

static void align(struct bytes *bytes)
{
	append(bytes, "\0\0\0", (4 - bytes->length % 4) % 4);
}

static void append_note(struct bytes *notes, uint32_t type, const void *data, size_t length)
{
	const Elf64_Nhdr header = { .n_namesz = 5, .n_descsz = (Elf64_Word)length, .n_type = type };

	append(notes, &header, sizeof(header));
	append(notes, "CORE\0\0\0", 8);
	append(notes, data, length);
	align(notes);
}

/* Registers that came after the first core files have another owner. */
static void append_linux_note(struct bytes *notes, uint32_t type, const void *data, size_t length)
{
	const Elf64_Nhdr header = { .n_namesz = 6, .n_descsz = (Elf64_Word)length, .n_type = type };

	append(notes, &header, sizeof(header));
	append(notes, "LINUX\0\0", 8);
	append(notes, data, length);
	align(notes);
}

/* All of a file below /proc of the process. Return: its length. */
static size_t read_file(pid_t pid, const char *name, char *buffer, size_t size)
{
	char path[64];
	size_t length = 0;
	ssize_t got = 1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && length < size && (got = read(fd, buffer + length, size - length)) > 0)
		length += (size_t)got;
	if (fd >= 0)
		close(fd);
	return length;
}

struct identity {
	int parent, group, session;
	char state;
};

static struct identity read_identity(pid_t pid)
{
	struct identity identity = { .state = 'R' };
	char text[1024] = "";
	size_t length = read_file(pid, "stat", text, sizeof(text) - 1);
	const char *behind;

	text[length] = '\0';
	behind = strrchr(text, ')');
	if (behind)
		sscanf(behind + 1, " %c %d %d %d", &identity.state, &identity.parent, &identity.group, &identity.session);
	return identity;
}

static void append_process(struct writer *writer)
{
	struct identity identity = read_identity(writer->core->pid);
	struct elf_prpsinfo info = { .pr_sname = identity.state, .pr_pid = writer->core->pid };
	char text[4096];
	size_t length;

	info.pr_ppid = identity.parent;
	info.pr_pgrp = identity.group;
	info.pr_sid = identity.session;
	length = read_file(writer->core->pid, "comm", info.pr_fname, sizeof(info.pr_fname) - 1);
	if (length && info.pr_fname[length - 1] == '\n')
		info.pr_fname[length - 1] = '\0';
	length = read_file(writer->core->pid, "cmdline", info.pr_psargs, sizeof(info.pr_psargs) - 1);
	for (size_t i = 0; i + 1 < length; i++)
		if (!info.pr_psargs[i])
			info.pr_psargs[i] = ' ';
	append_note(&writer->notes, NT_PRPSINFO, &info, sizeof(info));
	length = read_file(mr_task_pid(writer->core->copy), "auxv", text, sizeof(text));
	append_note(&writer->notes, NT_AUXV, text, length);
}

/* Which mappings are of files: how many, the unit of offsets; start, end and offset of each; their names. */
static void append_files(struct writer *writer)
{
	struct bytes files = { 0 };
	uint64_t count = 0, page = PAGE;

	for (size_t i = 0; i < writer->count; i++)
		count += writer->segments[i].name != NULL;
	append(&files, &count, sizeof(count));
	append(&files, &page, sizeof(page));
	for (size_t i = 0; i < writer->count; i++) {
		const struct segment *segment = &writer->segments[i];
		const uint64_t entry[3] = { segment->start, segment->start + segment->length, segment->offset / PAGE };

		if (segment->name)
			append(&files, entry, sizeof(entry));
	}
	for (size_t i = 0; i < writer->count; i++)
		if (writer->segments[i].name)
			append(&files, writer->segments[i].name, strlen(writer->segments[i].name) + 1);
	append_note(&writer->notes, NT_FILE, files.data, files.length);
	writer->notes.failed |= files.failed;
	free(files.data);
}

static void append_status(struct writer *writer, const struct mr_thread *thread, const struct mr_registers *general)
{
	struct identity identity = read_identity(writer->core->pid);
	struct elf_prstatus status = { .pr_pid = thread->tid, .pr_sighold = thread->blocked, .pr_fpvalid = 1 };
	size_t length = general->length < sizeof(status.pr_reg) ? general->length : sizeof(status.pr_reg);

	status.pr_ppid = identity.parent;
	status.pr_pgrp = identity.group;
	status.pr_sid = identity.session;
	memcpy(&status.pr_reg, general->bytes, length);
	append_note(&writer->notes, NT_PRSTATUS, &status, sizeof(status));
}

/* What is of the process stands behind the first thread's status. */
static int append_thread(void *argument, const struct mr_thread *thread)
{
	struct writer *writer = argument;

	for (size_t i = 0; i < thread->count; i++)
		if (thread->registers[i].type == NT_PRSTATUS)
			append_status(writer, thread, &thread->registers[i]);
	if (!writer->core->threads++) {
		append_process(writer);
		append_files(writer);
	}
	for (size_t i = 0; i < thread->count; i++) {
		const struct mr_registers *found = &thread->registers[i];

		if (found->type == NT_PRFPREG)
			append_note(&writer->notes, found->type, found->bytes, found->length);
		else if (found->type != NT_PRSTATUS)
			append_linux_note(&writer->notes, found->type, found->bytes, found->length);
	}
	return 0;
}

/* -- the file -- */

static void fill_segment_header(Elf64_Phdr *header, const struct segment *segment)
{
	*header = (Elf64_Phdr){ .p_type = PT_LOAD, .p_align = PAGE, .p_vaddr = segment->start, .p_memsz = segment->length };
	header->p_offset = segment->place;
	header->p_filesz = segment->stored;
	header->p_flags = (segment->protection & PROT_READ ? PF_R : 0) | (segment->protection & PROT_WRITE ? PF_W : 0) |
			  (segment->protection & PROT_EXEC ? PF_X : 0);
}

/* Where everything is; the length of the file. */
static uint64_t lay_out(struct writer *writer, uint64_t notes_at)
{
	uint64_t place = (notes_at + writer->notes.length + PAGE - 1) / PAGE * PAGE;

	for (size_t i = 0; i < writer->count; i++) {
		writer->segments[i].place = place;
		place += writer->segments[i].stored;
	}
	return place;
}

static bool write_headers(struct writer *writer, Elf *elf)
{
	uint64_t notes_at = sizeof(Elf64_Ehdr) + (writer->count + 1) * sizeof(Elf64_Phdr);
	Elf64_Ehdr *header = elf64_newehdr(elf);
	Elf64_Phdr *parts = header ? elf64_newphdr(elf, writer->count + 1) : NULL;

	if (!parts)
		return false;
	elf_flagelf(elf, ELF_C_SET, ELF_F_LAYOUT);
	header->e_ident[EI_DATA] = ELFDATA2LSB;
	header->e_type = ET_CORE;
	header->e_machine = MACHINE;
	header->e_version = EV_CURRENT;
	header->e_phoff = sizeof(*header);
	writer->core->length = lay_out(writer, notes_at);
	parts[0] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = notes_at, .p_filesz = writer->notes.length, .p_align = 4 };
	for (size_t i = 0; i < writer->count; i++)
		fill_segment_header(&parts[i + 1], &writer->segments[i]);
	if (elf_update(elf, ELF_C_WRITE) < 0)
		return false;
	return pwrite(writer->fd, writer->notes.data, writer->notes.length, (off_t)notes_at) == (ssize_t)writer->notes.length;
}

static void write_head(struct writer *writer)
{
	Elf *elf;

	if (writer->count + 1 >= PN_XNUM) {
		fail_writer(writer, "the core file", "there are more mappings than it can have");
		return;
	}
	elf_version(EV_CURRENT);
	elf = elf_begin(writer->fd, ELF_C_WRITE, NULL);
	errno = 0;
	if (!elf || !write_headers(writer, elf))
		fail_writer(writer, "the core file cannot be written", errno ? strerror(errno) : elf_errmsg(-1));
	elf_end(elf);
}

static bool is_zero(const char *bytes, size_t length)
{
	return !*bytes && !memcmp(bytes, bytes + 1, length - 1);
}

/* Runs of pages that are not zero. */
static void store_block(struct writer *writer, const char *block, size_t length, uint64_t place)
{
	for (size_t from = 0, to; !writer->failed && from < length; from = to) {
		bool zero = is_zero(block + from, PAGE);

		for (to = from + PAGE; to < length && is_zero(block + to, PAGE) == zero; to += PAGE)
			;
		if (zero)
			continue;
		if (pwrite(writer->fd, block + from, to - from, (off_t)(place + from)) != (ssize_t)(to - from))
			fail_writer(writer, "the core file cannot be written", strerror(errno ? errno : ENOSPC));
		writer->core->written += to - from;
	}
}

static void show_progress(const struct writer *writer)
{
	char done[32], total[32];

	if (writer->core->shows_progress)
		fprintf(stderr, "\r%s of %s ", show_size(writer->done, done), show_size(writer->total, total));
}

static void store_segment(struct writer *writer, const struct segment *segment, char *block)
{
	const struct mr_range range = { segment->start, segment->stored };
	struct mr_memory *memory;

	if (mr_memory_new_ranges(writer->core->copy, &range, 1, MR_MEMORY_READ_ONLY, &memory)) {
		fail_writer(writer, "a mapping cannot be read", mr_error());
		return;
	}
	for (uint64_t at = 0, part; !writer->failed && at < segment->stored; at += part) {
		part = segment->stored - at < BLOCK ? segment->stored - at : BLOCK;
		if (mr_memory_read(memory, at, block, part))
			fail_writer(writer, "memory cannot be read", mr_error());
		else
			store_block(writer, block, part, segment->place + at);
		writer->done += part;
		show_progress(writer);
	}
	mr_memory_unref(memory);
}

static void store_segments(struct writer *writer)
{
	char *block = malloc(BLOCK);

	if (!block)
		fail_writer(writer, "the core file", strerror(ENOMEM));
	for (size_t i = 0; !writer->failed && i < writer->count; i++)
		if (writer->segments[i].stored)
			store_segment(writer, &writer->segments[i], block);
	if (writer->core->shows_progress)
		fputs("\r\033[K", stderr);
	free(block);
}

static void free_writer(struct writer *writer)
{
	for (size_t i = 0; i < writer->count; i++)
		free(writer->segments[i].name);
	free(writer->segments);
	free(writer->notes.data);
}

bool core_write(struct core *core, int fd)
{
	struct writer writer = { .core = core, .fd = fd };
	int error = mr_task_regions(core->copy, add_segment, &writer);

	if (!error)
		error = mr_task_threads(core->copy, append_thread, &writer);
	if (error)
		fail_writer(&writer, "the copy cannot be asked", error == -ENOMEM ? strerror(ENOMEM) : mr_error());
	if (writer.notes.failed)
		fail_writer(&writer, "the core file", strerror(ENOMEM));
	core->regions = writer.count;
	if (!writer.failed)
		write_head(&writer);
	if (!writer.failed && ftruncate(fd, (off_t)core->length))
		fail_writer(&writer, "the core file cannot be written", strerror(errno));
	if (!writer.failed)
		store_segments(&writer);
	free_writer(&writer);
	return !writer.failed;
}
