/* SPDX-License-Identifier: Apache-2.0 */
/* The Internet checksum (RFC 1071) of a packet that was captured whole. */
#include "../bpf/transport.h"
#include "capture.h"

enum { ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58, HOP_BY_HOP = 0, ROUTING = 43, DESTINATION = 60 };

static uint16_t be16(const uint8_t *octets)
{
	return octets[0] << 8 | octets[1];
}

/* The sum of 16-bit words, not folded; a last odd octet is a word's first. */
static uint64_t sum(const uint8_t *octets, size_t count, uint64_t total)
{
	for (; count > 1; octets += 2, count -= 2)
		total += be16(octets);
	return count ? total + (octets[0] << 8) : total;
}

static int is_right(uint64_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total == 0xffff;
}

/* The addresses that count are those of the ends: of IPv6, the home address and the final destination (RFC 6275, 8200). */
static uint64_t pseudo_header(const struct hw_packet *row, uint32_t length)
{
	int skip = row->ip_version == 4 ? 12 : 0;

	return sum(row->src + skip, 16 - skip, sum(row->dst + skip, 16 - skip, (length >> 16) + (length & 0xffff) + row->proto));
}

/* Where the transport header begins in the IP packet; 0 if something lies between that is not looked into. */
static uint32_t transport_at(const struct hw_packet *row, const uint8_t *ip, uint32_t headers)
{
	uint32_t at = 40, next;

	if (row->ip_version == 4)
		return ip[9] == row->proto ? (ip[0] & 15u) * 4 : 0;
	for (next = ip[6]; next == HOP_BY_HOP || next == ROUTING || next == DESTINATION; at += (ip[at + 1] + 1u) * 8) {
		if (at + 8 > headers)
			return 0;
		next = ip[at];
	}
	return next == row->proto ? at : 0;
}

/* Over IPv6 only tunnels may leave it out (RFC 8200, 8.1; 6935): those whose ports the parser knows, either way. */
static int may_leave_out(const struct hw_packet *row)
{
	return row->ip_version == 4 || hw_next_of_port(row->sport, row->dport) || hw_next_of_port(row->dport, row->sport);
}

static enum hw_weird of_transport(const struct hw_packet *row, const uint8_t *transport, uint32_t length)
{
	switch (row->proto) {
	case TCP:
		return is_right(sum(transport, length, pseudo_header(row, length))) ? HW_WEIRD_none : HW_WEIRD_bad_TCP_checksum;
	case UDP:
		if (!be16(transport + 6)) /* none was computed */
			return may_leave_out(row) ? HW_WEIRD_none : HW_WEIRD_bad_UDP_checksum;
		if (be16(transport + 4) >= 8 && be16(transport + 4) < length)
			length = be16(transport + 4);
		return is_right(sum(transport, length, pseudo_header(row, length))) ? HW_WEIRD_none : HW_WEIRD_bad_UDP_checksum;
	case ICMP:
		return is_right(sum(transport, length, 0)) ? HW_WEIRD_none : HW_WEIRD_bad_ICMP_checksum;
	case ICMPV6:
		return is_right(sum(transport, length, pseudo_header(row, length))) ? HW_WEIRD_none : HW_WEIRD_bad_ICMP_checksum;
	}
	return HW_WEIRD_none;
}

enum hw_weird hw_bad_checksum(const struct hw_packet *row, uint32_t headers, const uint8_t *frame, uint32_t captured)
{
	uint32_t begin, transport, of_ip;
	const uint8_t *ip;

	if (!(row->has & HW_HAS_ip) || !(row->has & HW_HAS_payload) || row->payload_length > row->ip_length)
		return HW_WEIRD_none;
	of_ip = row->ip_length - row->payload_length; /* octets of all its headers */
	if (headers > captured || headers < of_ip || of_ip < (row->ip_version == 4 ? 20 : 40))
		return HW_WEIRD_none;
	begin = headers - of_ip;
	ip = frame + begin;
	if (ip[0] >> 4 != row->ip_version)
		return HW_WEIRD_none;
	if (row->ip_version == 4 && (ip[0] & 15u) * 4 <= of_ip && !is_right(sum(ip, (ip[0] & 15u) * 4, 0)))
		return HW_WEIRD_bad_IP_checksum;
	transport = transport_at(row, ip, of_ip);
	if (!transport || transport + 8 > of_ip || row->mf || row->fragment_offset)
		return HW_WEIRD_none;
	if (!be16(ip + (row->ip_version == 4 ? 2 : 4))) /* offload: the card was to fill in both */
		return HW_WEIRD_none;
	if (begin + row->ip_length > captured)
		return HW_WEIRD_none;
	return of_transport(row, ip + transport, row->ip_length - transport);
}
