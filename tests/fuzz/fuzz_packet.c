/* SPDX-License-Identifier: Apache-2.0 */
/* The header parser against hostile frames. An input is an octet that says how the frame begins, the prefix of frame.h, and the frame. */
#include "frame.h"

static int ethernet(struct hw_parser *p)
{
	return HW_START_ethernet;
}

static int ip(struct hw_parser *p)
{
	return HW_START_ip;
}

int LLVMFuzzerTestOneInput(const __u8 *data, size_t size)
{
	struct hw_packet row;

	if (size < 1 + PREFIX)
		return 0;
	row = try_frame(data + 1, size - 1, data[0] & 1 ? ip : ethernet);
	REQUIRE(!row.direction);
	REQUIRE(row.has & HW_PACKET_HAS_l2_apart ? HAS(&row, outer) : HAS(&row, l2) || !HAS(&row, outer));
	return 0;
}
