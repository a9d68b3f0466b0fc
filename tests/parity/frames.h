/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of a capture file, for tests that must not depend on the product's own decoder: pcap (both byte orders, micro- and
 * nanoseconds) and pcapng (section, interface, enhanced, simple and obsolete packet blocks). What is broken ends the file.
 * Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_MAX_INTERFACES 256

struct frames {
	uint8_t *data;
	size_t size, at;
	int swapped, pcapng;
	uint32_t interfaces;
	uint32_t link_types[FRAMES_MAX_INTERFACES];
};

struct frame {
	const uint8_t *octets;
	uint32_t captured, length, link_type;
};

static uint32_t frames_u32(const struct frames *f, size_t at)
{
	uint32_t value;

	memcpy(&value, f->data + at, 4);
	return f->swapped ? __builtin_bswap32(value) : value;
}

static uint16_t frames_u16(const struct frames *f, size_t at)
{
	uint16_t value;

	memcpy(&value, f->data + at, 2);
	return f->swapped ? __builtin_bswap16(value) : value;
}

/* Returns 0 if the file is no capture. */
static int frames_open(struct frames *f, const char *path)
{
	FILE *file = fopen(path, "rb");
	uint32_t magic;
	long size;

	memset(f, 0, sizeof(*f));
	if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0) {
		perror(path);
		exit(2);
	}
	rewind(file);
	f->data = malloc((size_t)size + 1);
	f->size = f->data ? fread(f->data, 1, (size_t)size, file) : 0;
	fclose(file);
	if (f->size < 24)
		return 0;
	memcpy(&magic, f->data, 4);
	if (magic == 0x0a0d0d0a) {
		f->pcapng = 1;
		return 1;
	}
	f->swapped = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
	if (!f->swapped && magic != 0xa1b2c3d4 && magic != 0xa1b23c4d)
		return 0;
	f->link_types[0] = frames_u32(f, 20) & 0xffff;
	f->at = 24;
	return 1;
}

static void frames_close(struct frames *f)
{
	free(f->data);
}

static int frames_next_pcap(struct frames *f, struct frame *frame)
{
	if (f->size - f->at < 16)
		return 0;
	frame->captured = frames_u32(f, f->at + 8);
	frame->length = frames_u32(f, f->at + 12);
	frame->link_type = f->link_types[0];
	frame->octets = f->data + f->at + 16;
	if (frame->captured > f->size - f->at - 16)
		return 0;
	f->at += 16 + (size_t)frame->captured;
	return 1;
}

/* The block at `at`, of `size` octets: 1 if it holds a packet. */
static int frames_block(struct frames *f, size_t at, uint32_t size, struct frame *frame)
{
	uint32_t type = frames_u32(f, at), interface = 0, head;

	if (type == 1 && size >= 20 && f->interfaces < FRAMES_MAX_INTERFACES)
		f->link_types[f->interfaces++] = frames_u16(f, at + 8);
	if (type == 3 && size >= 16) {
		frame->captured = frame->length = frames_u32(f, at + 8);
		if (frame->captured > size - 16)
			frame->captured = size - 16;
		head = 12;
	} else if ((type == 6 || type == 2) && size >= 32) {
		interface = type == 6 ? frames_u32(f, at + 8) : frames_u16(f, at + 8);
		frame->captured = frames_u32(f, at + 20);
		frame->length = frames_u32(f, at + 24);
		head = 28;
	} else {
		return 0;
	}
	if (interface >= f->interfaces || frame->captured > size - head - 4)
		return 0;
	frame->octets = f->data + at + head;
	frame->link_type = f->link_types[interface];
	return 1;
}

static int frames_next_pcapng(struct frames *f, struct frame *frame)
{
	uint32_t size, order;
	size_t at;

	while (f->size - f->at >= 12) {
		at = f->at;
		if (!memcmp(f->data + at, "\x0a\x0d\x0d\x0a", 4)) {
			memcpy(&order, f->data + at + 8, 4);
			f->swapped = order == 0x4d3c2b1a;
			f->interfaces = 0;
		}
		size = frames_u32(f, at + 4);
		if (size < 12 || size % 4 || size > f->size - at)
			return 0;
		f->at += size;
		if (frames_block(f, at, size, frame))
			return 1;
	}
	return 0;
}

/* Returns 0 at the end of what can be read. `frame` points into the file. */
static int frames_next(struct frames *f, struct frame *frame)
{
	return f->pcapng ? frames_next_pcapng(f, frame) : frames_next_pcap(f, frame);
}

/* Whether such a frame begins with Ethernet (1) or with IP (2); 0 for what the parser has no start for. */
static int frames_start(const struct frame *frame)
{
	switch (frame->link_type) {
	case 1:
		return 1;
	case 12:  /* LINKTYPE_RAW as most systems once wrote it */
	case 14:  /* the same on OpenBSD */
	case 101: /* LINKTYPE_RAW */
	case 228: /* LINKTYPE_IPV4 */
	case 229: /* LINKTYPE_IPV6 */
		return 2;
	default:
		return 0;
	}
}

#endif
