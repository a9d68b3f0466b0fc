/* SPDX-License-Identifier: Apache-2.0 */
/* pcap (draft-ietf-opsawg-pcap): a header of 24 octets, and records of 16 octets and the packet, in the writer's byte order. */
#include "capture.h"

#define MAGIC_NANOSECONDS 0xa1b23c4d
#define MAGIC_MODIFIED 0xa1b2cd34 /* of A. Kuznetzov's libpcap: 8 octets more before each packet */

static enum hw_capture_status header(struct hw_capture *capture, struct hw_feed *feed)
{
	uint32_t magic = hw_get32(capture, feed->at);
	uint16_t major = hw_get16(capture, feed->at + 4);
	uint16_t minor = hw_get16(capture, feed->at + 6);
	uint32_t number = hw_get32(capture, feed->at + 20) & 0x03ffffff; /* above: whether and how long a checksum follows each frame */
	const struct hw_link_type *type = hw_link_type_find(number);
	struct hw_capture_interface *interface;

	if (major != 2 && major != 543) /* 543.0 is what DG/UX wrote */
		return hw_capture_refuse(
			capture, "is pcap of version %u.%u: Headwater reads 2.x; write it anew with: tcpdump -r ... -w ...", major, minor);
	if (!type || !type->read)
		return hw_capture_refuse(capture, "has link type %u (%s), which is not supported yet", number,
					 type ? type->name : "unknown");
	interface = hw_capture_describe(capture);
	if (!interface)
		return HW_CAPTURE_bad;
	interface->read = type->read;
	interface->link_type = number;
	interface->multiply = magic == MAGIC_NANOSECONDS ? 1 : 1000;
	if (major == 543 || minor < 3)
		capture->lengths = LENGTHS_SWAPPED;
	else
		capture->lengths = minor == 3 ? LENGTHS_EITHER : LENGTHS;
	capture->record_header = magic == MAGIC_MODIFIED ? 24 : 16;
	feed->at += 24;
	return hw_capture_described(capture);
}

enum hw_capture_status hw_pcap_decode(struct hw_capture *capture, struct hw_feed *feed)
{
	const uint64_t second = 1000000000;
	enum hw_capture_status status;

	if (!capture->described) {
		if (hw_left(feed) < 24)
			return HW_CAPTURE_more;
		status = header(capture, feed);
		if (status != HW_CAPTURE_more)
			return status;
	}
	while (hw_left(feed) >= capture->record_header) {
		struct hw_record record = {.captured = hw_get32(capture, feed->at + 8), .length = hw_get32(capture, feed->at + 12)};

		if (capture->lengths == LENGTHS_SWAPPED || (capture->lengths == LENGTHS_EITHER && record.captured > record.length)) {
			uint32_t length = record.captured;

			record.captured = record.length;
			record.length = length;
		}
		if (record.captured > HW_CAPTURE_PACKET)
			return hw_capture_refuse_at(capture, feed, "the next one says that it holds %u octets, and %d are the most",
						    record.captured, HW_CAPTURE_PACKET);
		if (hw_left(feed) - capture->record_header < record.captured)
			return HW_CAPTURE_more;
		if (hw_capture_is_full(capture, feed))
			return HW_CAPTURE_full;
		record.time = hw_get32(capture, feed->at) * (second / capture->interfaces->multiply) + hw_get32(capture, feed->at + 4);
		record.frame = feed->at + capture->record_header;
		capture->counts.seen++;
		hw_capture_put(capture, feed, 0, &record);
		feed->at += capture->record_header + record.captured;
	}
	return HW_CAPTURE_more;
}
