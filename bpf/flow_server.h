/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who of two is the server, where the first packet that was seen does not tell: Zeek's likely_server_ports, as Zeek 8 fills it in. */
#ifndef HW_FLOW_SERVER_H
#define HW_FLOW_SERVER_H

#include "flow.h"

HW_INLINE int hw_is_tcp_server(hw_port port)
{
	switch (port) {
	case 21:
	case 22:
	case 25:
	case 53:
	case 80:
	case 81:
	case 88:
	case 110:
	case 135:
	case 139:
	case 143:
	case 389:
	case 443:
	case 445:
	case 502:
	case 563:
	case 585:
	case 587:
	case 614:
	case 631:
	case 636:
	case 989:
	case 990:
	case 992:
	case 993:
	case 995:
	case 1080:
	case 1434:
	case 1883:
	case 2811:
	case 3128:
	case 3268:
	case 3306:
	case 3389:
	case 5222:
	case 5223:
	case 5269:
	case 5432:
	case 6379:
	case 6666:
	case 6667:
	case 6668:
	case 6669:
	case 8000:
	case 8080:
	case 8888:
	case 20000:
		return 1;
	default:
		return 0;
	}
}

HW_INLINE int hw_is_udp_server(hw_port port)
{
	switch (port) {
	case 53:
	case 67:
	case 88:
	case 123:
	case 137:
	case 161:
	case 162:
	case 389:
	case 443:
	case 514:
	case 1812:
	case 2123:
	case 2152:
	case 3268:
	case 3389:
	case 3544:
	case 4789:
	case 5060:
	case 5072:
	case 5353:
	case 5355:
	case 6081:
	case 20000:
		return 1;
	default:
		return 0;
	}
}

HW_INLINE int hw_is_server(const struct hw_packet *row, hw_port port)
{
	return row->proto == HW_PROTO_TCP ? hw_is_tcp_server(port) : hw_is_udp_server(port);
}

/* Whether the ports alone say that this packet is an answer. */
HW_INLINE int hw_is_answer_by_port(const struct hw_packet *row)
{
	return hw_is_server(row, row->sport) && !hw_is_server(row, row->dport);
}

/* Whether a flow's first packet that was seen is an answer. */
HW_INLINE int hw_begins_with_answer(const struct hw_packet *row)
{
	__u64 to = HW_LOAD(__u64, row->dst + 8), from = HW_LOAD(__u64, row->src + 8);

	if (row->proto != HW_PROTO_TCP && row->proto != HW_PROTO_UDP)
		return 0;
	if (to == __builtin_bswap64(0x0000ffffffffffffull) && !HW_LOAD(__u64, row->dst)) /* everybody, who did not ask */
		return 0;
	if (row->sport == row->dport && from == to &&
	    HW_LOAD(__u64, row->src) == HW_LOAD(__u64, row->dst)) /* nobody else is there to ask */
		return 0;
	if (row->proto == HW_PROTO_TCP && row->tcp_flags & HW_SYN) /* a SYN-ACK may be a scan, till there is more */
		return row->tcp_flags & HW_ACK && hw_is_answer_by_port(row);
	if (!hw_is_server(row, row->sport))
		return 0;
	return !hw_is_server(row, row->dport) || (row->proto == HW_PROTO_TCP && row->sport < row->dport);
}

#endif
