/* SPDX-License-Identifier: Apache-2.0 */
/* A captured frame to rows: the kernel's parser over its first octets, the filter's choice, and all packets of a frame that has several. */
#include <stdlib.h>

#include "../bpf/records.h"
#include "capture.h"

#include "../bpf/packet.h"
#include "choice.h"
#include "pcapng_writer.h"

_Static_assert(HW_MOST_ROWS == 1 + HW_MAX_TUNNELS, "a row for each carrier");

struct hw_row_maker {
	struct hw_parser parser;
	struct hw_choice choice;
	int verifies;		/* whether wrong checksums are weirds */
	struct hw_packet *late; /* rows that found no room: of an A-MSDU's further packets */
	size_t late_first, late_count, late_room;
};

struct hw_row_maker *hw_row_maker_new(void)
{
	return calloc(1, sizeof(struct hw_row_maker));
}

void hw_row_maker_free(struct hw_row_maker *maker)
{
	free(maker->late);
	free(maker);
}

void hw_capture_choose(struct hw_capture *capture, const void *filter, uint64_t sample_below, int names_interfaces)
{
	hw_choose(&capture->maker->choice, filter, sample_below, 0);
	capture->names_interfaces = names_interfaces;
}

void hw_capture_carry(struct hw_capture *capture)
{
	capture->maker->parser.carries = 1;
}

void hw_capture_number(struct hw_capture *capture, uint32_t before, const uint32_t *frames, size_t count)
{
	capture->frame = before;
	for (capture->picked = frames; count && *capture->picked <= before; count--)
		capture->picked++;
	capture->picked_count = count;
}

static bool is_picked(struct hw_capture *capture)
{
	if (!capture->picked)
		return true;
	if (!capture->picked_count || *capture->picked != capture->frame)
		return false;
	capture->picked++;
	capture->picked_count--;
	return true;
}

void hw_capture_verify(struct hw_capture *capture)
{
	capture->maker->verifies = 1;
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

/* `octets` of its payload, `length` of them, or NULL. */
static void feed_row(struct hw_feed *feed, uint32_t frame, const struct hw_packet *row, const uint8_t *octets, uint32_t length)
{
	memcpy(feed->row, row, sizeof(*row));
	if (feed->payload) {
		*feed->payload++ = (struct hw_payload){.octets = feed->octets, .length = length, .frame = frame};
		if (length)
			memcpy(feed->octets, octets, length);
		feed->octets += length;
		feed->octet_room -= length;
	}
	feed->row += feed->stride;
	feed->room--;
}

bool hw_capture_feed_late(struct hw_capture *capture, struct hw_feed *feed)
{
	struct hw_row_maker *maker = capture->maker;

	for (; maker->late_first < maker->late_count && feed->room; maker->late_first++)
		feed_row(feed, capture->frame, &maker->late[maker->late_first], NULL, 0);
	if (maker->late_first < maker->late_count)
		return true;
	maker->late_first = maker->late_count = 0;
	return false;
}

bool hw_capture_has_late(const struct hw_capture *capture)
{
	return capture->maker->late_count;
}

bool hw_capture_is_full(struct hw_capture *capture, struct hw_feed *feed)
{
	uint32_t most = capture->maker->parser.carries ? HW_MOST_ROWS : 1;

	if (hw_capture_feed_late(capture, feed))
		return true;
	return feed->room < most || (feed->payload && feed->octet_room < HW_CAPTURE_PACKET) ||
	       (capture->writer && hw_pcapng_writer_full(capture->writer));
}

static void put_row(struct hw_capture *capture, struct hw_feed *feed, uint32_t index, struct hw_packet *row, const uint8_t *octets,
		    uint32_t length)
{
	struct hw_row_maker *maker = capture->maker;
	size_t room = maker->late_room ? 2 * maker->late_room : 64;
	struct hw_packet *late;

	row->interface = index;
	if (!maker->late_count && feed->room) {
		feed_row(feed, capture->frame, row, octets, length);
		return;
	}
	if (maker->late_count == maker->late_room) {
		late = realloc(maker->late, room * sizeof(*late));
		if (!late) {
			hw_capture_refuse(capture, "has a frame of more packets than there is memory for");
			return;
		}
		maker->late = late;
		maker->late_room = room;
	}
	maker->late[maker->late_count++] = *row;
}

static uint32_t least(uint32_t one, uint32_t other)
{
	return one < other ? one : other;
}

/* How many octets of the payload there are in the frame, `shift` octets further than where the window has them. */
static uint32_t payload_of(const struct hw_parser *parser, const struct hw_record *record, uint32_t shift)
{
	uint32_t end = least(record->captured, parser->limit + shift);

	if (!parser->headers || !(parser->row.has & HW_HAS_payload) || parser->headers >= end)
		return 0;
	return least(parser->row.payload_length, end - parser->headers);
}

/*
 * The packet whose headers the window has, and whose payload lies `shift` octets further in the frame; `carried`, if rows of what carries it
 * were put before. Returns whether it is wanted.
 */
static bool put_packet(struct hw_capture *capture, struct hw_feed *feed, uint32_t index, const struct hw_record *record, uint32_t shift,
		       bool carried)
{
	const struct hw_capture_interface *interface = &capture->interfaces[index];
	struct hw_capture_counts *counts = &capture->counts;
	struct hw_row_maker *maker = capture->maker;
	struct hw_parser *parser = &maker->parser;
	enum hw_weird wrong;
	uint32_t payload;

	hw_begin(parser);
	parser->row.ts = record->untimed ? 0 : nanoseconds(interface, record->time);
	parser->row.interface = interface->called;
	parser->row.length = record->length;
	parser->row.captured = record->captured;
	parser->row.hook = HW_HOOK_capture;
	parser->row.direction = record->direction;
	hw_frame(parser);
	if (parser->have == HW_WINDOW && record->length > record->captured)
		parser->end = record->length; /* the window's end is nearer than that of what was captured, wherever that is */
	hw_walk(parser, interface->read(parser));
	if (parser->headers)
		parser->headers += shift;
	if (maker->verifies && (wrong = hw_bad_checksum(&parser->row, parser->headers, record->frame, record->captured)))
		parser->row.weird = wrong; /* the others rely on what was sent */
	if (!hw_wanted(&maker->choice, parser, &counts->filtered, &counts->sampled_out, NULL))
		return false;
	if (carried)
		parser->carrier_count = 0;
	for (uint32_t i = 0; i < parser->carrier_count; i++)
		put_row(capture, feed, index, &parser->carriers[i], NULL, 0);
	payload = feed->payload ? payload_of(parser, record, shift) : 0;
	put_row(capture, feed, index, &parser->row, record->frame + parser->headers, payload);
	counts->carriers += parser->carrier_count;
	counts->as_row++;
	return true;
}

/*
 * The further packets of an A-MSDU whose first subframe is at `begin` (IEEE 802.11-2020, 9.3.2.2.2): each is read as if it were the first,
 * which was `wanted`. Returns whether any is.
 */
static bool put_further(struct hw_capture *capture, struct hw_feed *feed, uint32_t index, const struct hw_record *record, bool wanted)
{
	struct hw_parser *parser = &capture->maker->parser;
	uint32_t begin = parser->subframe, end = least(parser->subframes, record->captured), at = begin;

	for (;;) {
		at += (14 + (record->frame[at + 12] << 8 | record->frame[at + 13]) + 3) & ~3u;
		if (at + 14 > end)
			return wanted;
		parser->have = least(HW_WINDOW, begin + (record->captured - at));
		memcpy(parser->window + begin, record->frame + at, parser->have - begin);
		capture->counts.further++;
		wanted |= put_packet(capture, feed, index, record, at - begin, wanted);
	}
}

void hw_capture_put(struct hw_capture *capture, struct hw_feed *feed, uint32_t index, const struct hw_record *record)
{
	const struct hw_capture_interface *interface = &capture->interfaces[index];
	struct hw_parser *parser = &capture->maker->parser;
	struct hw_pcapng_packet packet = {
		.frame = record->frame,
		.captured = record->captured,
		.length = record->length,
		.flags = record->flags,
	};
	bool wanted;

	capture->frame++;
	if (!is_picked(capture)) {
		capture->counts.filtered++;
		if (capture->writer)
			hw_pcapng_writer_received(capture->writer, interface->written);
		return;
	}
	parser->have = least(HW_WINDOW, record->captured);
	memcpy(parser->window, record->frame, parser->have);
	wanted = put_packet(capture, feed, index, record, 0, false);
	packet.ts = parser->row.ts;
	packet.headers = parser->headers;
	if (parser->subframe) {
		packet.headers = 0; /* they are all over the frame */
		wanted = put_further(capture, feed, index, record, wanted);
	}
	if (!capture->writer)
		return;
	hw_pcapng_writer_received(capture->writer, interface->written);
	if (wanted)
		hw_pcapng_writer_put(capture->writer, interface->written, &packet);
}
