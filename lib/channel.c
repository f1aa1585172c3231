/* SPDX-License-Identifier: MIT */
/* Requests to the driver. */
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memredirect.h>

#include "error.h"
#include "memory.h"
#include "sys/sys.h"

/* --- descriptors --- */

static int no_driver(void)
{
	return fail(-EOPNOTSUPP,
		    "the driver is not there: there is no %s. Load it (modprobe memredirect), after `./run install --driver`",
		    MEMREDIRECT_DEVICE);
}

int channel_open_control(void)
{
	int fd = sys_open(MEMREDIRECT_DEVICE, O_RDWR);

	if (fd == -ENOENT || fd == -ENXIO || fd == -ENODEV)
		return no_driver();
	if (fd == -EACCES || fd == -EPERM)
		return fail(-EPERM, "%s is not for this user, who may not open it for reading and writing", MEMREDIRECT_DEVICE);
	return fd < 0 ? fail_system(fd, "%s cannot be opened", MEMREDIRECT_DEVICE) : fd;
}

enum mr_driver_access channel_access(void)
{
	int fd = sys_open(MEMREDIRECT_DEVICE, O_RDWR);

	if (fd >= 0)
		sys_close(fd);
	if (fd >= 0)
		return MR_DRIVER_READY;
	return fd == -EACCES || fd == -EPERM ? MR_DRIVER_DENIED : MR_DRIVER_NONE;
}

static struct channel *allocate(int control, int client, uint64_t span)
{
	struct channel *channel = sys_allocate(1, sizeof(*channel));

	if (channel)
		*channel = (struct channel){ .control = control, .client = client, .span = span };
	return channel;
}

static int no_memory(void)
{
	return fail(-ENOMEM, "there is no memory for what is known of the driver's map");
}

void channel_close(struct channel *channel)
{
	if (!channel)
		return;
	if (channel->client >= 0)
		sys_close(channel->client);
	if (channel->control >= 0)
		sys_close(channel->control);
	sys_free(channel);
}

/* A map descriptor; children that inherit mappings of one with MEMREDIRECT_OPEN_KEEP_ON_FORK keep what is shown then. */
static int open_client(int control, uint32_t flags)
{
	struct memredirect_open open = { .size = sizeof(open), .flags = flags };
	int error = sys_request(control, MEMREDIRECT_OPEN, &open);

	if (error)
		return fail_system(error, "the driver gives no descriptor of the map");
	return open.fd;
}

static int create(int control, uint64_t span, bool persist)
{
	struct memredirect_create create = { .size = sizeof(create),
					     .flags = persist ? MEMREDIRECT_MAP_PERSIST : 0,
					     .length = span };
	int error = sys_request(control, MEMREDIRECT_CREATE, &create);

	return error ? fail_system(error, "the driver makes no map of %" PRIu64 " bytes", span) : 0;
}

int channel_open(uint64_t span, bool persist, struct channel **ret_channel)
{
	int control = channel_open_control();
	struct channel *channel;
	int error;

	if (control < 0)
		return control;
	channel = allocate(control, -1, span);
	if (!channel) {
		sys_close(control);
		return no_memory();
	}
	error = create(control, span, persist);
	if (!error)
		channel->client = open_client(control, MEMREDIRECT_OPEN_KEEP_ON_FORK);
	if (!error && channel->client < 0)
		error = channel->client;
	if (error)
		channel_close(channel);
	else
		*ret_channel = channel;
	return error;
}

static int get_info(const struct channel *channel, struct memredirect_info *ret_info)
{
	int fd = channel->client;

	*ret_info = (struct memredirect_info){ .size = sizeof(*ret_info) };
	return sys_request(fd, MEMREDIRECT_GET_INFO, ret_info);
}

int channel_import(int fd, struct channel **ret_channel)
{
	struct memredirect_info info;
	struct channel *channel;
	int error, copy;

	if (sys_open_flags(fd) < 0)
		return channel_access() == MR_DRIVER_NONE ? no_driver() : fail(-EBADF, "fd %d is not an open descriptor", fd);
	copy = sys_dup(fd);
	if (copy < 0)
		return fail_system(copy, "fd %d cannot be duplicated", fd);
	channel = allocate(-1, copy, 0);
	if (!channel) {
		sys_close(copy);
		return no_memory();
	}
	error = get_info(channel, &info);
	if (error == -ENOMEM)
		error = fail_system(error, "fd %d cannot be asked what it is", fd);
	else if (error && channel_access() == MR_DRIVER_NONE)
		error = no_driver();
	else if (error)
		error = fail(-EINVAL, "fd %d is not of a map of the driver's; mr_map_export gives one", fd);
	else if (info.state == MEMREDIRECT_STATE_REVOKED)
		error = fail(-ENODEV, "the map of fd %d has been revoked: its exporter has gone", fd);
	channel->span = info.length;
	if (error)
		channel_close(channel);
	else
		*ret_channel = channel;
	return error;
}

int channel_export(const struct channel *channel)
{
	return open_client(channel->control, 0);
}

/* --- what is shown --- */

int channel_show(const struct channel *channel, uint32_t backing, uint32_t access)
{
	struct memredirect_redirect redirect = {
		.size = sizeof(redirect),
		.flags = access & MR_MAP_READ_ONLY ? MEMREDIRECT_REDIRECT_READ_ONLY : 0,
		.id = backing,
	};
	int error = sys_request(channel->control, MEMREDIRECT_REDIRECT, &redirect);

	return error ? fail_system(error, "the driver does not redirect the map") : 0;
}

int channel_block(const struct channel *channel)
{
	struct memredirect_block block = { .size = sizeof(block) };
	int error = sys_request(channel->control, MEMREDIRECT_BLOCK, &block);

	return error ? fail_system(error, "the driver does not block the map") : 0;
}

int channel_map(const struct channel *channel, uint32_t access, uintptr_t address, uintptr_t *ret_address)
{
	int protection = access & MR_MAP_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE;
	int error = sys_mmap(address, channel->span, protection, MAP_SHARED | (address ? MAP_FIXED : 0), channel->client, 0,
			     ret_address);

	if (error == -EACCES)
		return fail(-EACCES, "the descriptor is read-only; ask for MR_MAP_READ_ONLY");
	if (error == -ENODEV)
		return fail(-ENODEV, "the map has been revoked: its exporter has gone");
	return error ? fail_system(error, "%" PRIu64 " bytes of the driver's map cannot be mapped", channel->span) : 0;
}

void channel_fill(const struct channel *channel, uintptr_t address)
{
	struct memredirect_populate populate = { .size = sizeof(populate), .address = address, .length = channel->span };

	sys_request(channel->client, MEMREDIRECT_POPULATE, &populate);
}

bool channel_is_blocked(const struct channel *channel)
{
	struct memredirect_info info;

	return !get_info(channel, &info) && (info.state == MEMREDIRECT_STATE_BLOCKED || info.state == MEMREDIRECT_STATE_EMPTY);
}

uint64_t channel_waiters(const struct channel *channel)
{
	struct memredirect_info info;

	return get_info(channel, &info) ? 0 : info.waiters;
}

int channel_physical(const struct channel *channel, uint64_t offset, uint64_t *ret_address, uint64_t *ret_length)
{
	struct memredirect_phys phys = { .size = sizeof(phys), .offset = offset };
	int error = sys_request(channel->control, MEMREDIRECT_GET_PHYS, &phys);

	if (error == -EPERM)
		return fail(-EPERM, "physical addresses are hidden from this process; CAP_SYS_ADMIN shows them");
	if (error)
		return fail_system(error, "the driver does not tell the physical address at offset %" PRIu64, offset);
	*ret_address = phys.address;
	*ret_length = phys.length;
	return 0;
}

/* --- taking hold --- */

/* What is asked of the driver, and what had to be mapped for it to be found. */
struct hold {
	const struct mr_memory *memory;
	bool read_only;
	bool by_map; /* files by mappings of them: before Linux 6.11, and where files are not in memory */
	size_t count;
	struct memredirect_segment *segments;
	struct window {
		uintptr_t address;
		uint64_t length;
	} * windows;
};

/* A mapping of the part of the source, while the driver looks. */
static int open_window(struct hold *hold, const struct source *source, uint64_t place, uint64_t length, uint64_t *ret_address)
{
	uint64_t lead = place % source->page_size;
	uint64_t span = (lead + length + source->page_size - 1) / source->page_size * source->page_size;
	struct window *window = &hold->windows[hold->count];
	int flags = source->file_kind == FILE_HUGE ? MAP_NORESERVE : 0;
	int error = source_map(source, place - lead, span, hold->read_only ? PROT_READ : PROT_READ | PROT_WRITE, flags, false,
			       0, &window->address);

	if (error)
		return error;
	window->length = span;
	*ret_address = window->address + lead;
	return 0;
}

static int cannot_hold(const struct piece *piece, const char *what)
{
	return fail(-EOPNOTSUPP, "%" PRIu64 " bytes at offset %" PRIu64 " of the memory are %s", piece->length, piece->start,
		    what);
}

static int check_file(const struct hold *hold, const struct piece *piece)
{
	const struct source *source = piece->source;

	if (source->pager)
		return cannot_hold(piece, "a pager's, which come and go");
	if (source->file_kind == FILE_DEVICE)
		return cannot_hold(piece,
				   "a device's, of which the driver shows physical ranges alone (mr_memory_new_physical)");
	if (source->file_kind == FILE_REGULAR && !hold->read_only)
		return cannot_hold(piece, "of a file on a file system, whose pages the driver shows MR_MAP_READ_ONLY alone;"
					  " memfds, tmpfs and hugetlbfs can be written to");
	return 0;
}

/* Pages that are mapped at @address, of this process or the source's task. */
static int add_user(struct hold *hold, const struct source *source, uint64_t address, uint64_t length)
{
	hold->segments[hold->count] = (struct memredirect_segment){
		.kind = MEMREDIRECT_USER,
		.offset = address,
		.length = length,
		.pid = source->kind == SOURCE_FOREIGN ? (int)mr_task_pid(source->task) : 0,
	};
	return 0;
}

static int add_file(struct hold *hold, const struct piece *piece, uint64_t place, uint64_t length)
{
	const struct source *source = piece->source;
	uint64_t address;
	int error = check_file(hold, piece);

	if (error)
		return error;
	if (source->kind == SOURCE_ALIAS)
		return add_user(hold, source, source->address + place, length);
	if (hold->by_map || source->file_kind == FILE_REGULAR) {
		error = open_window(hold, source, place, length, &address);
		return error ? error : add_user(hold, source, address, length);
	}
	hold->segments[hold->count] =
		(struct memredirect_segment){ .kind = MEMREDIRECT_FILE, .offset = place, .length = length, .fd = source->fd };
	return 0;
}

static int add_private(struct hold *hold, const struct piece *piece, uint64_t place, uint64_t length)
{
	const struct source *source = piece->source;

	if (!source->address)
		return fail(-EFAULT, "the private memory at offset %" PRIu64 " has been unmapped or torn apart", piece->start);
	return add_user(hold, source, source->address + place, length);
}

static int add_physical(struct hold *hold, const struct source *source, uint64_t place, uint64_t length)
{
	hold->segments[hold->count] = (struct memredirect_segment){ .kind = MEMREDIRECT_PHYSICAL,
								    .offset = source->address + place,
								    .length = length };
	return 0;
}

/* [from, from + length) of the memory, which lies in @piece, in whole pages. */
static int add_piece(struct hold *hold, const struct piece *piece, uint64_t from, uint64_t length, bool last)
{
	uint64_t page = sys_page_size(), place = piece->source_offset + from - piece->start, lead = place % page;
	int error;

	if ((hold->count && lead) || (!last && (place + length) % page))
		return fail(-EINVAL,
			    "a piece of the memory (%" PRIu64 " bytes at offset %" PRIu64
			    ") is not whole pages, and cannot stand beside the others in a map",
			    piece->length, piece->start);
	place -= lead;
	length = (lead + length + page - 1) / page * page;
	switch (piece->source->kind) {
	case SOURCE_FILE:
	case SOURCE_ALIAS:
		error = add_file(hold, piece, place, length);
		break;
	case SOURCE_PRIVATE:
	case SOURCE_FOREIGN:
		error = add_private(hold, piece, place, length);
		break;
	case SOURCE_PHYSICAL:
		error = add_physical(hold, piece->source, place, length);
		break;
	default:
		error = cannot_hold(piece, "of a kind that the driver cannot show");
	}
	hold->count += !error;
	return error;
}

static int add_pieces(struct hold *hold, uint64_t offset, uint64_t length)
{
	const struct piece *first = memory_piece(hold->memory, offset);
	const struct piece *last = memory_piece(hold->memory, offset + length - 1);
	int error = 0;

	for (const struct piece *piece = first; !error && piece <= last; piece++) {
		uint64_t from = piece == first ? offset : piece->start;
		uint64_t to = piece == last ? offset + length : piece->start + piece->length;

		error = add_piece(hold, piece, from, to - from, piece == last);
	}
	return error;
}

static uint32_t cache_of(uint32_t options)
{
	return (options & MR_MAP_CACHE_MASK) >> MR_MAP_CACHE_SHIFT; /* the driver has the same numbers */
}

static int explain(int error, const struct hold *hold, uint32_t cache)
{
	uint64_t length = hold->memory->length;

	switch (error) {
	case -EOPNOTSUPP:
		if (cache_of(cache) != MEMREDIRECT_CACHE_DEFAULT && cache_of(cache) != MEMREDIRECT_CACHE_COPYBACK)
			return fail(-EOPNOTSUPP,
				    "options ask for cache mode %" PRIu32
				    ", which the memory does not take: physical memory of devices does",
				    cache_of(cache));
		return fail(-EOPNOTSUPP, "the driver cannot show pages of this kind, of a memory of %" PRIu64 " bytes", length);
	case -ENOMEM:
		return fail(-ENOMEM, "the driver cannot hold a memory of %" PRIu64 " bytes (see RLIMIT_MEMLOCK)", length);
	case -ENOSPC:
		return fail(-ENOMEM, "the driver holds as much for this map as it can");
	case -EFAULT:
		return fail(-EFAULT, "some page of the memory is not there any more, or not with the access that is needed");
	case -EBUSY:
		return fail(-EBUSY, "the physical memory has another cache mode elsewhere, and can have one at a time");
	default:
		return fail_system(error, "the driver cannot take hold of a memory of %" PRIu64 " bytes", length);
	}
}

static int ask(int control, const struct hold *hold, uint32_t cache, uint32_t *ret_backing)
{
	struct memredirect_add_backing add = {
		.size = sizeof(add),
		.flags = hold->read_only ? MEMREDIRECT_BACKING_READ_ONLY : 0,
		.segments = (uintptr_t)hold->segments,
		.count = (uint32_t)hold->count,
		.segment_size = sizeof(*hold->segments),
		.cache = cache_of(cache),
	};
	int error = sys_request(control, MEMREDIRECT_ADD_BACKING, &add);

	if (!error)
		*ret_backing = add.id;
	return error;
}

static void close_windows(struct hold *hold)
{
	for (size_t i = 0; i < hold->count; i++)
		if (hold->windows[i].length)
			sys_munmap(hold->windows[i].address, hold->windows[i].length);
	sys_free(hold->windows);
	sys_free(hold->segments);
}

static int hold_pieces(struct hold *hold, int control, uint64_t offset, uint64_t length, uint32_t cache, uint32_t *ret_backing)
{
	size_t most = (size_t)(memory_piece(hold->memory, offset + length - 1) - memory_piece(hold->memory, offset)) + 1;
	int error = 0;

	hold->count = 0;
	hold->segments = sys_allocate(most, sizeof(*hold->segments));
	hold->windows = sys_allocate(most, sizeof(*hold->windows));
	if (most > MEMREDIRECT_MAX_SEGMENTS)
		error = fail(-EOPNOTSUPP, "the memory has %zu pieces; the driver shows %d at most", most,
			     MEMREDIRECT_MAX_SEGMENTS);
	else if (!hold->segments || !hold->windows)
		error = no_memory();
	sources_hold();
	if (!error)
		error = add_pieces(hold, offset, length);
	if (!error) {
		error = ask(control, hold, cache, ret_backing);
		if (error && (error != -EOPNOTSUPP || hold->by_map))
			error = explain(error, hold, cache);
	}
	sources_let_go();
	close_windows(hold);
	return error;
}

int channel_hold(int control, const struct mr_memory *memory, uint64_t offset, uint64_t length, uint32_t access, uint32_t cache,
		 uint32_t *ret_backing)
{
	struct hold hold = { .memory = memory, .read_only = access & MR_MAP_READ_ONLY };
	int error = hold_pieces(&hold, control, offset, length, cache, ret_backing);

	if (error != -EOPNOTSUPP || hold.by_map)
		return error;
	hold.by_map = true;
	return hold_pieces(&hold, control, offset, length, cache, ret_backing);
}

void channel_drop(int control, uint32_t backing)
{
	struct memredirect_del_backing del = { .size = sizeof(del), .id = backing };

	if (backing)
		sys_request_release(control, MEMREDIRECT_DEL_BACKING, &del);
}

/* --- physical ranges --- */

/* Take hold of a range, in whichever cache mode it has elsewhere. */
static int hold_physical(int control, uint64_t address, uint64_t length, bool read_only, uint32_t *ret_backing)
{
	struct memredirect_segment segment = { .kind = MEMREDIRECT_PHYSICAL, .offset = address, .length = length };
	struct hold hold = { .read_only = read_only, .count = 1, .segments = &segment };
	int error = -EBUSY;

	for (uint32_t mode = MEMREDIRECT_CACHE_DEFAULT; error == -EBUSY && mode <= MEMREDIRECT_CACHE_WRITE_COMBINE; mode++)
		error = ask(control, &hold, mode << MR_MAP_CACHE_SHIFT, ret_backing);
	return error;
}

static int explain_physical(int error, uint64_t address, uint64_t length)
{
	if (error == -EPERM)
		return fail(-EPERM, "physical ranges take CAP_SYS_RAWIO, and a kernel that is not locked down");
	if (error == -EINVAL || error == -EOVERFLOW)
		return fail(-EINVAL,
			    "the physical range of %" PRIu64 " bytes at %#" PRIx64
			    " is only in part memory of the kernel's, or beyond what the processor can address",
			    length, address);
	return fail_system(error, "the driver cannot show the physical range of %" PRIu64 " bytes at %#" PRIx64, length,
			   address);
}

int channel_check_physical(int control, uint64_t address, uint64_t length, bool read_only)
{
	uint32_t backing;
	int error = hold_physical(control, address, length, read_only, &backing);

	if (error)
		return explain_physical(error, address, length);
	channel_drop(control, backing);
	return 0;
}

int channel_copy_physical(int control, uint64_t address, void *buffer, uint64_t length, bool write)
{
	uint64_t page = sys_page_size(), lead = address % page;
	uint64_t span = (lead + length + page - 1) / page * page;
	struct memredirect_copy copy = { .size = sizeof(copy), .offset = lead, .address = (uintptr_t)buffer, .length = length };
	int error = hold_physical(control, address - lead, span, !write, &copy.id);

	if (error)
		return explain_physical(error, address, length);
	error = sys_request(control, write ? MEMREDIRECT_WRITE : MEMREDIRECT_READ, &copy);
	channel_drop(control, copy.id);
	return error ? fail_system(error, "%" PRIu64 " bytes at the physical address %#" PRIx64 " cannot be copied", length,
				   address)
		     : 0;
}
