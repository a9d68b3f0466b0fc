/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcapng (draft-ietf-opsawg-pcapng): blocks of a type, a length, a body, and the length again. A section header begins anew: its own byte
 * order, its own interfaces. Blocks that say nothing of packets or interfaces are skipped, whatever their size.
 */
#include <stdio.h>

#include "capture.h"
#include "pcapng_writer.h"

enum block {
	SECTION_HEADER = 0x0a0d0d0a,
	INTERFACE_DESCRIPTION = 1,
	PACKET = 2, /* obsolete */
	SIMPLE_PACKET = 3,
	INTERFACE_STATISTICS = 5,
	ENHANCED_PACKET = 6,
};
enum { OPTION_END = 0, EPB_FLAGS = 2, EPB_DROPCOUNT = 4, IF_NAME = 2, IF_TSRESOL = 9, IF_TSOFFSET = 14, ISB_IFDROP = 5, ISB_OSDROP = 7 };

/* The octets of a block between its two lengths, or what is left of them. */
struct span {
	const uint8_t *at;
	size_t left;
};

struct option {
	uint16_t code;
	uint16_t size;
	const uint8_t *value;
};

static uint64_t get64(const struct hw_capture *capture, const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return capture->swapped ? __builtin_bswap64(value) : value;
}

/* 1 and the next option, 0 at the end of the list, -1 where an option does not fit into its block. */
static int next_option(const struct hw_capture *capture, struct span *options, struct option *option)
{
	size_t padded;

	if (options->left < 4)
		return options->left ? -1 : 0;
	option->code = hw_get16(capture, options->at);
	option->size = hw_get16(capture, options->at + 2);
	option->value = options->at + 4;
	if (option->code == OPTION_END)
		return 0;
	padded = 4 + ((option->size + 3u) & ~3u);
	if (padded > options->left)
		return -1;
	options->at += padded;
	options->left -= padded;
	return 1;
}

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* `lost` is a total: what the packets' drop counts add up to, or what the statistics say. `before_next` of them were just now. */
static void raise_lost(struct hw_capture *capture, uint32_t index, uint64_t lost, uint64_t before_next)
{
	struct hw_capture_interface *interface = &capture->interfaces[index];
	uint64_t more = lost > interface->lost ? lost - interface->lost : 0;

	capture->counts.lost_before = add(capture->counts.lost_before, more);
	interface->lost += more;
	if (capture->writer)
		hw_pcapng_writer_lost(capture->writer, interface->written, more, before_next);
}

static void set_resolution(struct hw_capture_interface *interface, uint8_t resolution)
{
	uint8_t power = resolution & 0x7f;

	interface->multiply = interface->divide = 1;
	interface->shift = 0;
	if (resolution & 0x80) {
		interface->multiply = 1000000000;
		interface->shift = power;
		return;
	}
	for (; power < 9; power++)
		interface->multiply *= 10;
	if (power - 9 > 19)
		interface->divide = 0;
	else
		for (; power > 9; power--)
			interface->divide *= 10;
}

static enum hw_capture_status interface_description(struct hw_capture *capture, const struct hw_feed *feed, struct span body)
{
	struct hw_capture_interface *interface;
	const struct hw_link_type *type;
	struct option option;
	int more;

	if (body.left < 8)
		return hw_capture_refuse_at(capture, feed, "an interface description of %zu octets", body.left);
	interface = hw_capture_describe(capture);
	if (!interface)
		return HW_CAPTURE_bad;
	interface->link_type = hw_get16(capture, body.at);
	type = hw_link_type_find(interface->link_type);
	interface->read = type ? type->read : NULL;
	interface->snaplen = hw_get32(capture, body.at + 4);
	snprintf(interface->name, sizeof(interface->name), "if%u", capture->described - 1);
	set_resolution(interface, 6);
	body.at += 8;
	body.left -= 8;
	while ((more = next_option(capture, &body, &option)) > 0) {
		if (option.code == IF_NAME && option.size && option.value[0]) {
			size_t size = option.size < sizeof(interface->name) ? option.size : sizeof(interface->name) - 1;

			memset(interface->name, 0, sizeof(interface->name));
			memcpy(interface->name, option.value, size);
		} else if (option.code == IF_TSRESOL && option.size >= 1) {
			set_resolution(interface, option.value[0]);
		} else if (option.code == IF_TSOFFSET && option.size >= 8) {
			interface->offset = (int64_t)get64(capture, option.value);
		}
	}
	if (more < 0) {
		capture->described--; /* what the writer is not told of is no interface */
		return hw_capture_refuse_at(capture, feed, "an option of interface %u does not fit into its block", capture->described);
	}
	return hw_capture_described(capture);
}

/* The global index of a section's interface, or -1. */
static int64_t find_interface(const struct hw_capture *capture, uint32_t number)
{
	return number < capture->described - capture->section ? (int64_t)capture->section + number : -1;
}

static void interface_statistics(struct hw_capture *capture, struct span body)
{
	uint64_t by_interface = 0, by_system = 0;
	struct option option;
	int64_t index;

	index = body.left < 12 ? -1 : find_interface(capture, hw_get32(capture, body.at));
	if (index < 0)
		return;
	body.at += 12;
	body.left -= 12;
	while (next_option(capture, &body, &option) > 0) {
		if (option.code == ISB_IFDROP && option.size >= 8)
			by_interface = get64(capture, option.value);
		else if (option.code == ISB_OSDROP && option.size >= 8)
			by_system = get64(capture, option.value);
	}
	raise_lost(capture, (uint32_t)index, add(by_interface, by_system), 0);
}

/* The options of a packet: its direction (flags, bits 0 and 1) and how many were lost before it. Broken ones take nothing from the packet. */
static void packet_options(struct hw_capture *capture, struct span options, struct hw_record *record)
{
	static const enum hw_direction DIRECTIONS[4] = {HW_DIRECTION_unknown, HW_DIRECTION_in, HW_DIRECTION_out, HW_DIRECTION_unknown};
	struct option option;

	while (next_option(capture, &options, &option) > 0) {
		if (option.code == EPB_FLAGS && option.size >= 4) {
			record->flags = hw_get32(capture, option.value);
			record->direction = DIRECTIONS[record->flags & 3];
		} else if (option.code == EPB_DROPCOUNT && option.size >= 8) {
			record->dropped = get64(capture, option.value);
		}
	}
}

/* A whole packet block of any of the three kinds, of an interface whose link type is known. */
static enum hw_capture_status packet(struct hw_capture *capture, struct hw_feed *feed, uint32_t kind, uint32_t index, struct span body)
{
	struct hw_capture_interface *interface = &capture->interfaces[index];
	struct hw_record record = {};
	size_t head = 20, padded;

	if (kind == SIMPLE_PACKET) {
		head = 4;
		record.length = hw_get32(capture, body.at);
		record.captured = record.length;
		if (interface->snaplen && record.captured > interface->snaplen)
			record.captured = interface->snaplen;
		record.untimed = true;
	} else {
		record.time = (uint64_t)hw_get32(capture, body.at + 4) << 32 | hw_get32(capture, body.at + 8);
		record.captured = hw_get32(capture, body.at + 12);
		record.length = hw_get32(capture, body.at + 16);
	}
	if (kind == PACKET && hw_get16(capture, body.at + 2) != 0xffff)
		record.dropped = hw_get16(capture, body.at + 2);
	if (record.captured > HW_CAPTURE_PACKET)
		return hw_capture_refuse_at(capture, feed, "the next one says that it holds %u octets, and %d are the most",
					    record.captured, HW_CAPTURE_PACKET);
	if (record.captured > body.left - head)
		return hw_capture_refuse_at(capture, feed, "the next one says that it holds %u octets, and its block has room for %zu",
					    record.captured, body.left - head);
	record.frame = body.at + head;
	padded = head + ((record.captured + 3u) & ~3u);
	if (kind != SIMPLE_PACKET && padded < body.left)
		packet_options(capture, (struct span){body.at + padded, body.left - padded}, &record);
	if (record.dropped) {
		interface->dropped = add(interface->dropped, record.dropped);
		raise_lost(capture, index, interface->dropped, record.dropped);
	}
	capture->counts.seen++;
	hw_capture_put(capture, feed, index, &record);
	return HW_CAPTURE_more;
}

/* Passes over the rest of a block, which several calls may do. A packet in it counts once the block was whole. */
static enum hw_capture_status skip(struct hw_capture *capture, struct hw_feed *feed)
{
	uint64_t part = capture->skip < hw_left(feed) ? capture->skip : hw_left(feed);

	feed->at += part;
	capture->skip -= part;
	if (capture->skip || hw_left(feed) < 4)
		return HW_CAPTURE_more;
	if (hw_get32(capture, feed->at) != capture->trailer)
		return hw_capture_refuse_at(capture, feed, "a block begins with length %u and ends with %u", capture->trailer,
					    hw_get32(capture, feed->at));
	feed->at += 4;
	capture->trailer = 0;
	if (capture->skipped) {
		capture->counts.seen++;
		++*capture->skipped;
	}
	return HW_CAPTURE_more;
}

static enum hw_capture_status begin_skip(struct hw_capture *capture, struct hw_feed *feed, uint32_t total, uint64_t *skipped)
{
	feed->at += 8;
	capture->skip = total - 12;
	capture->trailer = total;
	capture->skipped = skipped;
	return HW_CAPTURE_more;
}

/* The body of a block that lies here whole; body->at is NULL while it does not. */
static enum hw_capture_status whole(struct hw_capture *capture, const struct hw_feed *feed, uint32_t total, struct span *body)
{
	*body = (struct span){};
	if (total > HW_CAPTURE_LARGEST)
		return hw_capture_refuse_at(capture, feed, "a block of %u octets, and %d are the most", total, HW_CAPTURE_LARGEST);
	if (hw_left(feed) < total)
		return HW_CAPTURE_more;
	if (hw_get32(capture, feed->at + total - 4) != total)
		return hw_capture_refuse_at(capture, feed, "a block begins with length %u and ends with %u", total,
					    hw_get32(capture, feed->at + total - 4));
	*body = (struct span){feed->at + 8, total - 12};
	return HW_CAPTURE_more;
}

static enum hw_capture_status packet_block(struct hw_capture *capture, struct hw_feed *feed, uint32_t kind, uint32_t total)
{
	enum hw_capture_status status;
	struct span body;
	int64_t index;

	if (total < (kind == SIMPLE_PACKET ? 16 : 32))
		return hw_capture_refuse_at(capture, feed, "a packet block of %u octets", total);
	if (kind == ENHANCED_PACKET)
		index = find_interface(capture, hw_get32(capture, feed->at + 8));
	else
		index = find_interface(capture, kind == PACKET ? hw_get16(capture, feed->at + 8) : 0);
	if (index < 0)
		return begin_skip(capture, feed, total, &capture->counts.no_interface);
	if (!capture->interfaces[index].read) {
		if (!capture->counts.unknown_link_type)
			capture->unknown = capture->interfaces[index].link_type;
		return begin_skip(capture, feed, total, &capture->counts.unknown_link_type);
	}
	status = whole(capture, feed, total, &body);
	if (status != HW_CAPTURE_more || !body.at)
		return status;
	if (hw_capture_is_full(capture, feed))
		return HW_CAPTURE_full;
	status = packet(capture, feed, kind, (uint32_t)index, body);
	if (status == HW_CAPTURE_more)
		feed->at += total;
	return status;
}

static enum hw_capture_status section_header(struct hw_capture *capture, struct hw_feed *feed, uint32_t total)
{
	if (total < 28)
		return hw_capture_refuse_at(capture, feed, "a section header of %u octets", total);
	if (hw_left(feed) < 16)
		return HW_CAPTURE_more;
	if (hw_get16(capture, feed->at + 12) != 1)
		return hw_capture_refuse_at(capture, feed, "a section of pcapng version %u, where Headwater reads 1",
					    hw_get16(capture, feed->at + 12));
	capture->section = capture->described;
	return begin_skip(capture, feed, total, NULL);
}

/* Reads a block, or begins to skip it. Leaves feed->at where it was if there is too little of it. */
static enum hw_capture_status block(struct hw_capture *capture, struct hw_feed *feed, uint32_t type, uint32_t total)
{
	enum hw_capture_status status;
	struct span body;

	if (type == SECTION_HEADER)
		return section_header(capture, feed, total);
	if (type == ENHANCED_PACKET || type == SIMPLE_PACKET || type == PACKET)
		return packet_block(capture, feed, type, total);
	if (type != INTERFACE_DESCRIPTION && (type != INTERFACE_STATISTICS || total > HW_CAPTURE_LARGEST))
		return begin_skip(capture, feed, total, NULL);
	status = whole(capture, feed, total, &body);
	if (status != HW_CAPTURE_more || !body.at)
		return status;
	if (type == INTERFACE_DESCRIPTION)
		status = interface_description(capture, feed, body);
	else
		interface_statistics(capture, body);
	feed->at += total;
	return status;
}

/* A section header tells its byte order before its length can be read. */
static bool byte_order(struct hw_capture *capture, const uint8_t *magic)
{
	capture->swapped = false;
	if (hw_get32(capture, magic) == 0x1a2b3c4d)
		return true;
	capture->swapped = true;
	return hw_get32(capture, magic) == 0x1a2b3c4d;
}

enum hw_capture_status hw_pcapng_decode(struct hw_capture *capture, struct hw_feed *feed)
{
	enum hw_capture_status status;
	const uint8_t *before;

	do {
		uint32_t type, total;

		before = feed->at;
		if (capture->trailer) {
			status = skip(capture, feed);
			continue;
		}
		if (hw_left(feed) < 12)
			return HW_CAPTURE_more;
		type = hw_get32(capture, feed->at);
		if (type == SECTION_HEADER && !byte_order(capture, feed->at + 8))
			return hw_capture_refuse_at(capture, feed, "a section header without its byte-order mark");
		total = hw_get32(capture, feed->at + 4);
		if (total < 12 || total % 4)
			return hw_capture_refuse_at(capture, feed, "a block of %u octets", total);
		status = block(capture, feed, type, total);
	} while (status == HW_CAPTURE_more && feed->at != before);
	return status;
}
