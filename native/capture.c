/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures to rows: pcap (pcap.c) and pcapng (pcapng.c) as a stream of octets, decoded block by block with the kernel's parser. Nothing
 * is allocated per packet, and nothing of the input is kept between calls but what a further block needs, and rows of a frame of many
 * packets that found no room.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../bpf/records.h"
#include "capture.h"

#include "../bpf/packet.h"
#include "choice.h"
#include "pcapng_writer.h"

/* One allocation for both, because packet.h is included here alone. */
struct whole {
	struct hw_capture capture;
	struct hw_parser parser;
	struct hw_choice choice;
	int verifies;		/* whether wrong checksums are weirds */
	struct hw_packet *late; /* rows that found no room: of an A-MSDU's further packets */
	size_t late_first, late_count, late_room;
};

_Static_assert(HW_MOST_ROWS == 1 + HW_MAX_TUNNELS, "a row for each carrier");

struct hw_capture *hw_capture_new(void)
{
	struct whole *whole = calloc(1, sizeof(*whole));

	if (!whole)
		return NULL;
	whole->capture.parser = &whole->parser;
	whole->capture.choice = &whole->choice;
	return &whole->capture;
}

void hw_capture_free(struct hw_capture *capture)
{
	if (!capture)
		return;
	free(capture->interfaces);
	free(((struct whole *)capture)->late);
	free((struct whole *)capture);
}

void hw_capture_choose(struct hw_capture *capture, const void *filter, uint64_t sample_below, int names_interfaces)
{
	hw_choose(capture->choice, filter, sample_below, 0);
	capture->names_interfaces = names_interfaces;
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

void hw_capture_carry(struct hw_capture *capture)
{
	capture->parser->carries = 1;
}

void hw_capture_verify(struct hw_capture *capture)
{
	((struct whole *)capture)->verifies = 1;
}

/* UTC nanoseconds, within what 63 bits can say: a time before 1970 is 0, which is none, one after 2262 is 2262. */
static uint64_t nanoseconds(const struct hw_capture_interface *interface, uint64_t units)
{
	__int128 ns = (__int128)((unsigned __int128)units * interface->multiply >> interface->shift);

	if (interface->divide != 1)
		ns = interface->divide ? (__int128)((unsigned __int128)ns / interface->divide) : 0;
	ns += (__int128)interface->offset * 1000000000;
	if (ns < 0)
		return 0;
	return ns > INT64_MAX ? INT64_MAX : (uint64_t)ns;
}

static void feed_row(struct hw_feed *feed, const struct hw_packet *row)
{
	memcpy(feed->row, row, sizeof(*row));
	feed->row += feed->stride;
	feed->room--;
}

/* Rows that found no room, as far as there is room now. Returns whether some are left. */
static bool feed_late(struct whole *whole, struct hw_feed *feed)
{
	for (; whole->late_first < whole->late_count && feed->room; whole->late_first++)
		feed_row(feed, &whole->late[whole->late_first]);
	if (whole->late_first < whole->late_count)
		return true;
	whole->late_first = whole->late_count = 0;
	return false;
}

bool hw_capture_is_full(struct hw_capture *capture, struct hw_feed *feed)
{
	uint32_t most = capture->parser->carries ? HW_MOST_ROWS : 1;

	if (feed_late((struct whole *)capture, feed))
		return true;
	return feed->room < most || (capture->writer && hw_pcapng_writer_full(capture->writer));
}

static void put_row(struct whole *whole, struct hw_feed *feed, uint32_t index, struct hw_packet *row)
{
	size_t room = whole->late_room ? 2 * whole->late_room : 64;
	struct hw_packet *late;

	row->interface = index;
	if (!whole->late_count && feed->room) {
		feed_row(feed, row);
		return;
	}
	if (whole->late_count == whole->late_room) {
		late = realloc(whole->late, room * sizeof(*late));
		if (!late) {
			hw_capture_refuse(&whole->capture, "has a frame of more packets than there is memory for");
			return;
		}
		whole->late = late;
		whole->late_room = room;
	}
	whole->late[whole->late_count++] = *row;
}

/*
 * The packet whose headers the window has, and whose payload lies `shift` octets further in the frame; `carried`, if rows of what carries it
 * were put before. Returns whether it is wanted.
 */
static bool put_packet(struct whole *whole, struct hw_feed *feed, uint32_t index, const struct hw_record *record, uint32_t shift,
		       bool carried)
{
	const struct hw_capture_interface *interface = &whole->capture.interfaces[index];
	struct hw_capture_counts *counts = &whole->capture.counts;
	struct hw_parser *parser = &whole->parser;
	enum hw_weird wrong;

	hw_begin(parser);
	parser->row.ts = record->untimed ? 0 : nanoseconds(interface, record->time);
	parser->row.interface = interface->called;
	parser->row.length = record->length;
	parser->row.captured = record->captured;
	parser->row.hook = HW_HOOK_capture;
	parser->row.direction = record->direction;
	hw_frame(parser);
	hw_walk(parser, interface->read(parser));
	if (parser->headers)
		parser->headers += shift;
	if (whole->verifies && (wrong = hw_bad_checksum(&parser->row, parser->headers, record->frame, record->captured)))
		parser->row.weird = wrong; /* the others rely on what was sent */
	if (!hw_wanted(&whole->choice, parser, &counts->filtered, &counts->sampled_out, NULL))
		return false;
	if (carried)
		parser->carrier_count = 0;
	for (uint32_t i = 0; i < parser->carrier_count; i++)
		put_row(whole, feed, index, &parser->carriers[i]);
	put_row(whole, feed, index, &parser->row);
	counts->carriers += parser->carrier_count;
	counts->as_row++;
	return true;
}

static uint32_t least(uint32_t one, uint32_t other)
{
	return one < other ? one : other;
}

/*
 * The further packets of an A-MSDU whose first subframe is at `begin` (IEEE 802.11-2020, 9.3.2.2.2): each is read as if it were the first,
 * which was `wanted`. Returns whether any is.
 */
static bool put_further(struct whole *whole, struct hw_feed *feed, uint32_t index, const struct hw_record *record, bool wanted)
{
	struct hw_parser *parser = &whole->parser;
	uint32_t begin = parser->subframe, end = least(parser->subframes, record->captured), at = begin;

	for (;;) {
		at += (14 + (record->frame[at + 12] << 8 | record->frame[at + 13]) + 3) & ~3u;
		if (at + 14 > end)
			return wanted;
		parser->have = least(HW_WINDOW, begin + (record->captured - at));
		memcpy(parser->window + begin, record->frame + at, parser->have - begin);
		whole->capture.counts.further++;
		wanted |= put_packet(whole, feed, index, record, at - begin, wanted);
	}
}

void hw_capture_put(struct hw_capture *capture, struct hw_feed *feed, uint32_t index, const struct hw_record *record)
{
	const struct hw_capture_interface *interface = &capture->interfaces[index];
	struct whole *whole = (struct whole *)capture;
	struct hw_parser *parser = capture->parser;
	struct hw_pcapng_packet packet = {
		.frame = record->frame,
		.captured = record->captured,
		.length = record->length,
		.flags = record->flags,
	};
	bool wanted;

	parser->have = least(HW_WINDOW, record->captured);
	memcpy(parser->window, record->frame, parser->have);
	wanted = put_packet(whole, feed, index, record, 0, false);
	packet.ts = parser->row.ts;
	packet.headers = parser->headers;
	if (parser->subframe) {
		packet.headers = 0; /* they are all over the frame */
		wanted = put_further(whole, feed, index, record, wanted);
	}
	if (!capture->writer)
		return;
	hw_pcapng_writer_received(capture->writer, interface->written);
	if (wanted)
		hw_pcapng_writer_put(capture->writer, interface->written, &packet);
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
	struct hw_feed feed = {.at = data, .begin = data, .row = rows, .stride = stride, .room = capacity};
	enum hw_capture_status status = capture->problem[0] ? HW_CAPTURE_bad : HW_CAPTURE_more;
	struct whole *whole = (struct whole *)capture;

	*consumed = 0;
	if (feed_late(whole, &feed))
		status = HW_CAPTURE_full;
	*made = capacity - feed.room;
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
	if (whole->late_count)
		status = HW_CAPTURE_full; /* whatever comes then */
	*made = capacity - feed.room;
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
