/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets as pcapng (draft-ietf-opsawg-pcapng), in this machine's byte order and in nanoseconds: one section, an interface description
 * where each begins, an enhanced packet block for each packet, and at the end what each interface received and lost.
 *
 * The blocks gather in memory, and nothing here waits or fails: who reads the packets stops when it is full, and who writes them away
 * (outputs/pcapng.py) says what became of them.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../bpf/parser.h"
#include "capture.h"
#include "pcapng_writer.h"

#ifndef ROOM /* a test makes it small */
#define ROOM (1 << 20)
#endif
#define LARGEST (HW_CAPTURE_PACKET + 64) /* octets of a packet's block */
#define STATISTICS 64			 /* octets of an interface's last block */

enum { SECTION_HEADER = 0x0a0d0d0a, INTERFACE_DESCRIPTION = 1, INTERFACE_STATISTICS = 5, ENHANCED_PACKET = 6 };
enum { SHB_USERAPPL = 4, IF_NAME = 2, IF_TSRESOL = 9, EPB_FLAGS = 2, EPB_DROPCOUNT = 4, ISB_IFRECV = 4, ISB_OSDROP = 7, ISB_USRDELIV = 8 };

struct interface {
	uint64_t received;
	uint64_t lost;	  /* as its source tells it */
	uint64_t untold;  /* lost since the last packet in the file */
	uint64_t dropped; /* found no room in the file */
	uint64_t taken;
	uint64_t last; /* time */
};

struct hw_pcapng_writer {
	uint8_t *octets;
	size_t room;
	size_t used;
	size_t first; /* the first block of which not all is written */
	size_t sent;  /* what is written: at least up to there */
	int headers_only;
	uint64_t made;
	uint64_t written;
	struct interface *interfaces;
	uint32_t described;
};

static uint32_t padded(uint32_t size)
{
	return (size + 3) & ~3u;
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, 4);
	return at + 4;
}

static uint8_t *put_time(uint8_t *at, uint64_t ts)
{
	return put32(put32(at, ts >> 32), (uint32_t)ts);
}

static uint8_t *put_octets(uint8_t *at, const void *octets, uint32_t size)
{
	memset(at + (size & ~3u), 0, padded(size) - (size & ~3u));
	memcpy(at, octets, size);
	return at + padded(size);
}

static uint8_t *put_option(uint8_t *at, uint16_t code, const void *value, uint16_t size)
{
	return put_octets(put32(at, code | (uint32_t)size << 16), value, size);
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return value;
}

/* Ends the block that lies between `used` and `end`: its type, and its length at both ends. */
static void end_block(struct hw_pcapng_writer *w, uint32_t type, uint8_t *end)
{
	uint8_t *begin = w->octets + w->used;
	uint32_t size = end + 4 - begin;

	put32(put32(begin, type), size);
	put32(end, size);
	w->used += size;
}

static int make_room(struct hw_pcapng_writer *w, size_t size)
{
	uint8_t *octets;

	if (w->room - w->used >= size)
		return 0;
	octets = realloc(w->octets, w->used + size + ROOM);
	if (!octets)
		return -1;
	w->octets = octets;
	w->room = w->used + size + ROOM;
	return 0;
}

struct hw_pcapng_writer *hw_pcapng_writer_new(const char *application, int headers_only)
{
	struct hw_pcapng_writer *w = calloc(1, sizeof(*w));
	size_t size = strlen(application);
	uint8_t *at;

	if (!w || make_room(w, LARGEST)) {
		free(w);
		return NULL;
	}
	w->headers_only = headers_only;
	at = put32(put32(w->octets + 8, 0x1a2b3c4d), 1); /* byte order; version 1.0 */
	at = put32(put32(at, UINT32_MAX), UINT32_MAX);	 /* how long the section is: not known */
	at = put_option(at, SHB_USERAPPL, application, size < 255 ? size : 255);
	end_block(w, SECTION_HEADER, put32(at, 0));
	return w;
}

void hw_pcapng_writer_free(struct hw_pcapng_writer *w)
{
	if (!w)
		return;
	free(w->interfaces);
	free(w->octets);
	free(w);
}

int64_t hw_pcapng_writer_interface(struct hw_pcapng_writer *w, const char *name, uint16_t link_type)
{
	size_t size = strnlen(name, 255);
	struct interface *interfaces;
	uint8_t nanoseconds = 9, *at;

	if (!(w->described & (w->described - 1))) { /* 0, or a power of two: as many again */
		interfaces = realloc(w->interfaces, (w->described ? w->described * 2ull : 1) * sizeof(*interfaces));
		if (!interfaces)
			return -1;
		w->interfaces = interfaces;
	}
	if (make_room(w, 36 + padded(size) + LARGEST)) /* so that a packet has room, whatever cannot be written */
		return -1;
	memset(&w->interfaces[w->described], 0, sizeof(*interfaces));
	at = put32(put32(w->octets + w->used + 8, link_type), HW_CAPTURE_PACKET);
	at = put_option(at, IF_NAME, name, size);
	at = put_option(at, IF_TSRESOL, &nanoseconds, 1);
	end_block(w, INTERFACE_DESCRIPTION, put32(at, 0));
	return w->described++;
}

int hw_pcapng_writer_full(const struct hw_pcapng_writer *w)
{
	return w->room - w->used < LARGEST;
}

void hw_pcapng_writer_received(struct hw_pcapng_writer *w, uint32_t number)
{
	w->interfaces[number].received++;
}

void hw_pcapng_writer_lost(struct hw_pcapng_writer *w, uint32_t number, uint64_t lost, uint64_t before_next)
{
	w->interfaces[number].lost += lost;
	w->interfaces[number].untold += before_next;
}

static uint8_t *put_frame(uint8_t *at, const struct hw_pcapng_packet *packet, uint32_t captured)
{
	uint8_t tag[4] = {packet->tpid >> 8, (uint8_t)packet->tpid, packet->tci >> 8, (uint8_t)packet->tci};

	if (!packet->tpid || captured < 16)
		return put_octets(at, packet->frame, captured);
	memcpy(at, packet->frame, 12);
	memcpy(at + 12, tag, 4);
	return put_octets(at + 16, packet->frame + 12, captured - 16);
}

void hw_pcapng_writer_put(struct hw_pcapng_writer *w, uint32_t number, const struct hw_pcapng_packet *packet)
{
	struct interface *interface = &w->interfaces[number];
	uint32_t tag = packet->tpid && packet->captured >= 12 ? 4 : 0;
	uint32_t captured = packet->captured + tag, most = HW_CAPTURE_PACKET;
	uint8_t *at = w->octets + w->used + 8;

	if (w->headers_only)
		most = packet->headers && packet->headers < HW_WINDOW ? packet->headers + tag : HW_WINDOW;
	if (captured > most)
		captured = most;
	at = put_time(put32(at, number), packet->ts);
	at = put32(put32(at, captured), packet->length + tag);
	at = put_frame(at, packet, captured);
	if (interface->untold)
		at = put_option(at, EPB_DROPCOUNT, &interface->untold, 8);
	if (packet->flags)
		at = put_option(at, EPB_FLAGS, &packet->flags, 4);
	if (interface->untold || packet->flags)
		at = put32(at, 0);
	end_block(w, ENHANCED_PACKET, at);
	interface->untold = 0;
	interface->taken++;
	interface->last = packet->ts;
	w->made++;
}

const void *hw_pcapng_writer_octets(const struct hw_pcapng_writer *w, size_t *size)
{
	*size = w->used - w->sent;
	return w->octets + w->sent;
}

size_t hw_pcapng_writer_part(const struct hw_pcapng_writer *w, size_t most)
{
	size_t part = w->first;

	while (part < w->used && part + get32(w->octets + part + 4) - w->sent <= most)
		part += get32(w->octets + part + 4);
	return part > w->sent ? part - w->sent : 0;
}

void hw_pcapng_writer_wrote(struct hw_pcapng_writer *w, size_t octets)
{
	w->sent += octets;
	while (w->first < w->used && w->first + get32(w->octets + w->first + 4) <= w->sent) {
		w->written += get32(w->octets + w->first) == ENHANCED_PACKET;
		w->first += get32(w->octets + w->first + 4);
	}
	memmove(w->octets, w->octets + w->first, w->used - w->first);
	w->used -= w->first;
	w->sent -= w->first;
	w->first = 0;
}

uint64_t hw_pcapng_writer_drop(struct hw_pcapng_writer *w)
{
	size_t kept = 0, at, size;
	uint64_t dropped = 0;

	for (at = w->first; at < w->used; at += size) {
		const uint8_t *block = w->octets + at;
		struct interface *interface;
		const uint8_t *options;
		uint64_t lost = 0;

		size = get32(block + 4);
		if (get32(block) != ENHANCED_PACKET) {
			memmove(w->octets + kept, block, size);
			kept += size;
			continue;
		}
		interface = &w->interfaces[get32(block + 8)];
		options = block + 28 + padded(get32(block + 20));
		if (options < block + size - 4 && get32(options) == (EPB_DROPCOUNT | 8 << 16))
			memcpy(&lost, options + 4, 8);
		interface->untold += lost + 1;
		interface->dropped++;
		dropped++;
	}
	w->used = kept;
	w->first = w->sent = 0;
	return dropped;
}

size_t hw_pcapng_writer_end_room(const struct hw_pcapng_writer *w)
{
	return (size_t)w->described * STATISTICS;
}

/* The time is that of the interface's last packet; without one it is now. */
void hw_pcapng_writer_end(struct hw_pcapng_writer *w)
{
	struct timespec now;

	if (make_room(w, hw_pcapng_writer_end_room(w)))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	for (uint32_t number = 0; number < w->described; number++) {
		const struct interface *interface = &w->interfaces[number];
		uint64_t received = interface->received + interface->lost, lost = interface->lost + interface->dropped;
		uint64_t delivered = interface->taken - interface->dropped;
		uint8_t *at = put32(w->octets + w->used + 8, number);

		at = put_time(at, interface->taken ? interface->last : now.tv_sec * 1000000000ull + now.tv_nsec);
		at = put_option(at, ISB_IFRECV, &received, 8);
		at = put_option(at, ISB_OSDROP, &lost, 8);
		at = put_option(at, ISB_USRDELIV, &delivered, 8);
		end_block(w, INTERFACE_STATISTICS, put32(at, 0));
	}
}

uint64_t hw_pcapng_writer_made(const struct hw_pcapng_writer *w)
{
	return w->made;
}

uint64_t hw_pcapng_writer_written(const struct hw_pcapng_writer *w)
{
	return w->written;
}
