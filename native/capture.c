/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures to rows: pcap (pcap.c) and pcapng (pcapng.c) as a stream of octets, decoded block by block, and each packet by the kernel's
 * parser (capture_rows.c). Nothing is allocated per packet, and nothing of the input is kept between calls but what a further block needs,
 * and rows of a frame of many packets that found no room.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "capture.h"
#include "pcapng_writer.h"

struct hw_capture *hw_capture_new(void)
{
	struct hw_capture *capture = calloc(1, sizeof(*capture));

	if (capture && !(capture->maker = hw_row_maker_new())) {
		free(capture);
		return NULL;
	}
	return capture;
}

void hw_capture_free(struct hw_capture *capture)
{
	if (!capture)
		return;
	free(capture->interfaces);
	hw_row_maker_free(capture->maker);
	free(capture);
}

void hw_capture_call(struct hw_capture *capture, uint32_t index, uint32_t number)
{
	if (index < capture->described)
		capture->interfaces[index].called = number;
}

void hw_capture_write(struct hw_capture *capture, struct hw_pcapng_writer *writer, const char *unnamed)
{
	capture->writer = writer;
	capture->unnamed = unnamed;
}

void hw_capture_keep(struct hw_capture *capture, struct hw_payload *payloads, void *octets, size_t room)
{
	capture->kept = (struct hw_feed){.payload = payloads, .octets = octets, .octet_room = room};
}

size_t hw_capture_room(const struct hw_capture *capture)
{
	return capture->kept.octet_room;
}

enum hw_capture_status hw_capture_refuse(struct hw_capture *capture, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(capture->problem, sizeof(capture->problem), format, arguments);
	va_end(arguments);
	return HW_CAPTURE_bad;
}

enum hw_capture_status hw_capture_refuse_at(struct hw_capture *capture, const struct hw_feed *feed, const char *format, ...)
{
	va_list arguments;
	int head = snprintf(capture->problem, sizeof(capture->problem),
			    "is damaged after packet %llu (byte %llu): ", (unsigned long long)capture->counts.seen,
			    (unsigned long long)(capture->offset + (feed->at - feed->begin)));

	va_start(arguments, format);
	vsnprintf(capture->problem + head, sizeof(capture->problem) - head, format, arguments);
	va_end(arguments);
	return HW_CAPTURE_bad;
}

struct hw_capture_interface *hw_capture_describe(struct hw_capture *capture)
{
	struct hw_capture_interface *interface;

	if (capture->described == capture->allocated) {
		uint32_t wanted = capture->allocated ? capture->allocated * 2 : 4;

		if (wanted > HW_CAPTURE_INTERFACES) {
			hw_capture_refuse(capture, "describes more than %d interfaces, which no real capture does", HW_CAPTURE_INTERFACES);
			return NULL;
		}
		interface = realloc(capture->interfaces, wanted * sizeof(*interface));
		if (!interface) {
			hw_capture_refuse(capture, "describes %u interfaces, for which there is no memory", capture->described);
			return NULL;
		}
		capture->interfaces = interface;
		capture->allocated = wanted;
	}
	interface = &capture->interfaces[capture->described++];
	memset(interface, 0, sizeof(*interface));
	interface->divide = 1;
	return interface;
}

enum hw_capture_status hw_capture_described(struct hw_capture *capture)
{
	struct hw_capture_interface *interface = &capture->interfaces[capture->described - 1];

	interface->called = capture->described - 1;
	if (capture->writer) {
		const char *name = interface->name[0] ? interface->name : capture->unnamed;
		int64_t number = hw_pcapng_writer_interface(capture->writer, name, interface->link_type);

		if (number < 0)
			return hw_capture_refuse(capture, "describes interfaces for which there is no memory");
		interface->written = (uint32_t)number;
	}
	return capture->names_interfaces ? HW_CAPTURE_described : HW_CAPTURE_more;
}

static enum hw_capture_status refuse_magic(struct hw_capture *capture, const uint8_t *data, size_t size)
{
	char octets[3 * 4 + 1] = "";

	for (size_t i = 0; i < size && i < 4; i++)
		snprintf(octets + 3 * i, 4, " %02x", data[i]);
	return hw_capture_refuse(capture, "is not a pcap or pcapng capture: it begins with%s", octets);
}

static enum hw_capture_status recognise(struct hw_capture *capture, const struct hw_feed *feed)
{
	uint32_t magic;

	memcpy(&magic, feed->at, sizeof(magic));
	if (magic == 0x0a0d0d0a) {
		capture->decode = hw_pcapng_decode;
		return HW_CAPTURE_more;
	}
	capture->swapped = (magic & 0xff) == 0xa1;
	if (capture->swapped)
		magic = __builtin_bswap32(magic);
	if (magic != 0xa1b2c3d4 && magic != 0xa1b23c4d && magic != 0xa1b2cd34)
		return refuse_magic(capture, feed->at, hw_left(feed));
	capture->decode = hw_pcap_decode;
	return HW_CAPTURE_more;
}

enum hw_capture_status hw_capture_decode(struct hw_capture *capture, const void *data, size_t size, void *rows, size_t stride,
					 size_t capacity, size_t *made, size_t *consumed)
{
	struct hw_feed feed = capture->kept;
	enum hw_capture_status status = capture->problem[0] ? HW_CAPTURE_bad : HW_CAPTURE_more;

	feed.at = feed.begin = feed.end = data;
	feed.row = rows;
	feed.stride = stride;
	feed.room = capacity;
	*consumed = 0;
	if (hw_capture_feed_late(capture, &feed))
		status = HW_CAPTURE_full;
	*made = capacity - feed.room;
	capture->kept = feed;
	if (!size || status != HW_CAPTURE_more)
		return status;
	feed.end = feed.at + size;
	if (!capture->decode) {
		if (size < 4)
			return HW_CAPTURE_more;
		status = recognise(capture, &feed);
	}
	if (status == HW_CAPTURE_more)
		status = capture->decode(capture, &feed);
	if (hw_capture_has_late(capture))
		status = HW_CAPTURE_full; /* whatever comes then */
	*made = capacity - feed.room;
	capture->kept = feed;
	*consumed = (size_t)(feed.at - feed.begin);
	capture->offset += *consumed;
	return status;
}

/* A capture that is whole, but not all of whose packets could be rows. */
static int refuse_dropped(struct hw_capture *capture)
{
	const struct hw_link_type *type = hw_link_type_find(capture->unknown);

	if (capture->counts.unknown_link_type)
		hw_capture_refuse(capture, "has %llu packet%s of link type %u (%s), which is not supported yet",
				  (unsigned long long)capture->counts.unknown_link_type, capture->counts.unknown_link_type == 1 ? "" : "s",
				  capture->unknown, type ? type->name : "unknown");
	else if (capture->counts.no_interface)
		hw_capture_refuse(capture, "has %llu packet%s of interfaces that it does not describe: whatever wrote it is at fault",
				  (unsigned long long)capture->counts.no_interface, capture->counts.no_interface == 1 ? "" : "s");
	return capture->problem[0] ? -1 : 0;
}

int hw_capture_finish(struct hw_capture *capture, const void *data, size_t left)
{
	unsigned long long end = capture->offset + left;

	if (capture->problem[0])
		return -1;
	if (!capture->decode) {
		if (left)
			refuse_magic(capture, data, left);
		else
			hw_capture_refuse(capture, "is empty: not even a capture's header is there");
		return -1;
	}
	if (!left && !capture->skip && !capture->trailer)
		return refuse_dropped(capture);
	if (capture->described || capture->offset)
		hw_capture_refuse(capture, "is cut off after packet %llu (byte %llu)", (unsigned long long)capture->counts.seen, end);
	else
		hw_capture_refuse(capture, "is cut off within its header (byte %llu)", end);
	return -1;
}

const char *hw_capture_problem(const struct hw_capture *capture)
{
	return capture->problem;
}

uint32_t hw_capture_interfaces(const struct hw_capture *capture)
{
	return capture->described;
}

const char *hw_capture_interface_name(const struct hw_capture *capture, uint32_t index)
{
	return index < capture->described ? capture->interfaces[index].name : "";
}

void hw_capture_counts_of(const struct hw_capture *capture, struct hw_capture_counts *into)
{
	*into = capture->counts;
}
