/* SPDX-License-Identifier: MIT */
/*
 * memredirect-nbd - memory that is an export of an NBD server: of qemu-nbd, nbdkit and its plugins, Ceph, a cloud's block store
 *
 * A library of its own (pkg-config: memredirect-nbd), on libnbd. What it makes is a memory of memredirect's like any other, with a pager
 * behind it: see memredirect/pager.h for what is promised of all such memory.
 *
 * What is promised beyond that
 *   - When mr_memory_sync returns 0, all that had been written before is durable at the server, as far as the server's word goes: written,
 *     and flushed (NBD_CMD_FLUSH; where there is no flush, written durably, NBD_CMD_FLAG_FUA; where there is neither, acknowledged).
 *   - A server that dies loses nothing of this memory's, synced or not, while the process lives: what it acknowledged and did not flush is
 *     kept (64 MiB at most, then it is flushed) and written again when it is back, before anything else is read or written.
 *   - Requests under way when a connection is lost are made again on the next one.
 *
 * The bound
 *   A server that owes an answer and says nothing for 20 seconds is taken for lost. A lost server has 10 seconds to come back. After that
 *   requests fail, those that wait and those that come: each of the latter tries to connect first, for a second. The pager tries a read three
 *   times: so a thread that touches such memory waits for 40 seconds at most, and gets SIGBUS; 15, if the server is gone and connections are
 *   refused. A redirect lets it go at once. When the server is back, the next access finds it so.
 *   A server that leaves one request unanswered while it answers others is not lost: that request is waited for as long as it does so, by a
 *   thread that a redirect of its map lets go.
 *   What the server answers with EIO or ENOMEM is tried five times, within a quarter of a second.
 *
 * Limits
 *   - The export is this memory's alone while that is in use. What others write to it is seen where nothing has been read yet; what they
 *     turn from zeroes into data may be seen up to a second late.
 *   - The size of an export is fixed when it is opened. An export that comes back with another one is an error (-ESTALE) until it has the
 *     first one again.
 *   - Zeroes in runs of 64 KiB are written as such (NBD_CMD_WRITE_ZEROES), and may become holes. Holes are not read.
 */
#ifndef MEMREDIRECT_NBD_H
#define MEMREDIRECT_NBD_H

#include <memredirect.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * mr_memory_new_nbd - memory that is an export of an NBD server
 * @uri: as libnbd takes them: nbd+unix:///EXPORT?socket=PATH, nbd://HOST:PORT/EXPORT, nbds://… with TLS. It may name files of keys: take it
 *	from whom you trust
 * @cache: bytes that are kept here at most, as of mr_memory_new_pager; 0: all
 * @options: MR_MEMORY_READ_ONLY
 * @ret_memory: the new memory, as long as the export, with one reference. Of a read-only export it is read-only, asked for or not
 *
 * Connects, by up to four connections where the server allows several, and waits for that for 10 seconds at most. Takes two descriptors for
 * each connection beside those of a pager. The connections are closed after the last mr_memory_unref, when all is written back.
 *
 * Return: 0; -EINVAL no URI, one that is none, other options, an export of no bytes, or of which no request can be made in whole blocks of
 * the server's; -ECONNREFUSED nobody listens; -ENOENT no such socket or export; -EHOSTUNREACH the host is not known; -ETIMEDOUT no answer;
 * what else libnbd or the server says (mr_error has its words); what mr_memory_new_pager returns.
 */
int mr_memory_new_nbd(const char *uri, uint64_t cache, uint32_t options, struct mr_memory **ret_memory);

#ifdef __cplusplus
}
#endif

#endif
