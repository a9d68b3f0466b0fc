/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A datagram in pieces reaches the kernel's table when user space has put it together, some milliseconds later. What answers it may have
 * begun its flow by then.
 */
#ifndef HW_FLOW_LATE_H
#define HW_FLOW_LATE_H

#include "flow_map.h"

/* As if the flow, which is not TCP's, had begun with this packet of the side `which`; `flip`: its sender answers. Returns its side by then. */
HW_INLINE int hw_flow_begin_before(struct hw_flow *flow, int which, const struct hw_packet *row, int flip)
{
	__u32 seen;

	if (which != flip)
		hw_flow_flip(flow);
	seen = which != flip ? flow->seen >> 16 | flow->seen << 16 : flow->seen;
	which = flip;
	hw_flow_begun_by(flow, which, row);
	flow->sides[which].marks &= ~HW_SIDE_data;
	flow->history_length = flow->seen = 0;
	if (flip)
		hw_history(flow, HW_ORIG, '^');
	if (flow->proto != HW_PROTO_UDP)
		return which;
	hw_history_once(flow, which, HW_SEEN_data, 'D');
	if (seen & (__u32)HW_SEEN_data << (16 * !which))
		hw_history_once(flow, !which, HW_SEEN_data, 'D');
	return which;
}

#endif
