/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header parser against hostile frames: it reads no octet behind the frame, its row is consistent, and what the row of a cut frame
 * has is what the row of the whole frame has.
 *
 *   clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Ibpf tests/fuzz/fuzz_packet.c -o fuzz_packet
 *   cc -DHW_SEEDS -Ibpf tests/fuzz/fuzz_packet.c -o seeds && ./seeds FOLDER < capture-file-names
 *   ./fuzz_packet -max_total_time=600 -max_len=512 FOLDER
 *
 * An input is an octet that says how the frame begins, two that say how much longer it was on the wire, one where to cut it, the frame.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packet.h"

#define PREFIX 4

#ifdef HW_SEEDS
#include "../parity/frames.h"

/* The first frames of each capture, as inputs. */
int main(int argc, char **argv)
{
	char path[4096], name[4096];
	struct frames file;
	struct frame frame;
	unsigned number = 0;

	while (argc == 2 && fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = 0;
		int left = frames_open(&file, path) ? 4 : 0;

		while (left-- && frames_next(&file, &frame)) {
			__u8 prefix[PREFIX] = {frames_start(&frame) == 2, 0, 0, (__u8)(number * 7)};
			FILE *into;

			if (!frames_start(&frame))
				continue;
			snprintf(name, sizeof(name), "%s/%06u", argv[1], number++);
			into = fopen(name, "wb");
			if (!into)
				return 1;
			fwrite(prefix, PREFIX, 1, into);
			fwrite(frame.octets, frame.captured < 400 ? frame.captured : 400, 1, into);
			fclose(into);
		}
		frames_close(&file);
	}
	return number == 0;
}
#else
#include <sanitizer/asan_interface.h>

#define REQUIRE(condition)                                                                                                                 \
	do {                                                                                                                               \
		if (!(condition)) {                                                                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                    \
			abort();                                                                                                           \
		}                                                                                                                          \
	} while (0)
#define HAS(row, layer) (((row)->has & HW_HAS_##layer) != 0)

static struct hw_packet parse(const __u8 *frame, __u32 captured, __u32 length, enum hw_start start)
{
	static struct hw_parser p;
	static const struct hw_packet given;

	memset(&p, 0xee, sizeof(p));
	p.have = captured < HW_WINDOW ? captured : HW_WINDOW;
	memcpy(p.window, frame, p.have);
	hw_begin(&p);
	p.row.length = length;
	p.row.captured = captured;
	ASAN_POISON_MEMORY_REGION(p.window + p.have, HW_WINDOW - p.have);
	hw_parse(&p, start);
	ASAN_UNPOISON_MEMORY_REGION(p.window, HW_WINDOW);
	REQUIRE(p.row.length == length && p.row.captured == captured && p.row.segments == 1);
	REQUIRE(p.row.ts == given.ts && p.row.interface == given.interface && !p.row.hook && !p.row.direction);
	return p.row;
}

static int is_zero(const void *octets, size_t size)
{
	static const __u8 zeros[16];

	return !memcmp(octets, zeros, size);
}

/* Columns that are absent hold 0, and layers lie on the layers that they need. */
static void check(const struct hw_packet *row)
{
	REQUIRE(row->weird <= HW_WEIRD_headers_beyond_window);
	REQUIRE(HAS(row, l2) || (is_zero(row->l2_src, 6) && is_zero(row->l2_dst, 6)));
	REQUIRE(HAS(row, ethertype) ? row->ethertype >= 1536 : !row->ethertype);
	REQUIRE(HAS(row, vlan) || (!row->vlan && !HAS(row, vlan_inner)));
	REQUIRE(HAS(row, vlan_inner) || !row->vlan_inner);
	REQUIRE(row->vlan < 4096 && row->vlan_inner < 4096);
	REQUIRE(HAS(row, addr) || (is_zero(row->src, 16) && is_zero(row->dst, 16)));
	REQUIRE(HAS(row, ip) == (HAS(row, ipv4) || HAS(row, ipv6)) && !(HAS(row, ipv4) && HAS(row, ipv6)));
	REQUIRE(row->ip_version == (HAS(row, ipv4) ? 4 : HAS(row, ipv6) ? 6 : 0));
	REQUIRE(HAS(row, ip) ? HAS(row, addr) : !row->ip_length && !row->ttl && !row->dscp && !row->ecn && !row->ip_options);
	REQUIRE(row->dscp < 64 && row->ecn < 4 && row->flow_label < 1 << 20 && (HAS(row, ipv6) || !row->flow_label));
	REQUIRE(!HAS(row, ipv4) || HAS(row, fragment));
	REQUIRE(HAS(row, fragment) ? row->fragment_offset % 8 == 0 && row->mf < 2 : !row->fragment_offset && !row->mf && !row->ip_id);
	REQUIRE(HAS(row, ipv4) ? row->df < 2 : !row->df);
	REQUIRE(HAS(row, ports) ? row->proto == 6 || row->proto == 17 || row->proto == 132 : !row->sport && !row->dport);
	REQUIRE(HAS(row, tcp) ? HAS(row, ports) && row->proto == 6
			      : !row->seq && !row->ack && !row->tcp_flags && !row->window && !row->sack_permitted);
	REQUIRE(HAS(row, mss) ? HAS(row, tcp) : !row->mss);
	REQUIRE(HAS(row, window_scale) ? HAS(row, tcp) : !row->window_scale);
	REQUIRE(HAS(row, timestamps) ? HAS(row, tcp) : !row->tsval && !row->tsecr);
	REQUIRE(HAS(row, icmp) ? row->proto == 1 || row->proto == 58 : !row->icmp_type && !row->icmp_code);
	REQUIRE(!(HAS(row, ports) || HAS(row, icmp)) || !row->fragment_offset);
	REQUIRE(HAS(row, icmp_mtu) ? HAS(row, icmp) && row->icmp_mtu : !row->icmp_mtu);
	REQUIRE(HAS(row, igmp) ? row->proto == 2 : !row->igmp_type);
	REQUIRE(HAS(row, sctp) ? row->proto == 132 : !row->sctp_tag && !row->sctp_chunk);
	REQUIRE(HAS(row, spi) ? HAS(row, ip) : !row->spi);
	REQUIRE(HAS(row, quoted) ? HAS(row, icmp) && !HAS(row, neighbor) : !row->quoted_proto);
	REQUIRE(HAS(row, quoted) || HAS(row, neighbor) || (is_zero(row->quoted_src, 16) && is_zero(row->quoted_dst, 16)));
	REQUIRE(HAS(row, quoted_ports) ? HAS(row, quoted) : !row->quoted_sport && !row->quoted_dport);
	REQUIRE(!HAS(row, neighbor) || (HAS(row, addr) && HAS(row, ip) == HAS(row, icmp) && is_zero(row->quoted_dst + 8, 8)));
	REQUIRE(!HAS(row, neighbor) || !HAS(row, ip) || !row->arp_operation);
	REQUIRE(HAS(row, mpls) ? row->mpls_label < 1 << 20 : !row->mpls_label);
	REQUIRE(HAS(row, pppoe) || !row->pppoe_session);
	REQUIRE(row->tunnel_depth <= HW_MAX_TUNNELS && !row->tunnel == !row->tunnel_depth);
	REQUIRE(HAS(row, outer) ? row->tunnel_depth > 0 : !row->outer_proto && is_zero(row->outer_src, 16) && is_zero(row->outer_dst, 16));
	REQUIRE(HAS(row, outer_ports) ? HAS(row, outer) : !row->outer_sport && !row->outer_dport);
	REQUIRE(HAS(row, tunnel_id) ? row->tunnel_depth > 0 : !row->tunnel_id);
	REQUIRE(!row->hash);
	REQUIRE(HAS(row, payload) ? row->payload_length <= row->ip_length : !row->payload_length);
}

#define SAME(column) REQUIRE(!memcmp(&cut->column, &whole->column, sizeof(cut->column)))

/* A row keeps what was read before the frame's end; what the whole frame adds is more layers, options, and the end of a chain. */
static void check_cut(const struct hw_packet *cut, const struct hw_packet *whole)
{
	__u32 link = cut->tunnel_depth ? HW_HAS_ethertype | HW_HAS_l2 | HW_HAS_vlan | HW_HAS_vlan_inner : HW_HAS_ethertype;

	REQUIRE(cut->tunnel_depth <= whole->tunnel_depth);
	if (HAS(cut, mpls))
		SAME(mpls_label);
	if (HAS(cut, outer)) {
		SAME(outer_src);
		SAME(outer_dst);
		SAME(outer_proto);
		SAME(outer_sport);
		SAME(outer_dport);
	}
	if (cut->tunnel_depth < whole->tunnel_depth)
		return; /* what it saw last is a tunnel to the other */
	SAME(tunnel);
	SAME(tunnel_id);
	REQUIRE(!(cut->has & ~whole->has & ~link)); /* an inner frame that is cut off leaves the outer one's */
	if (HAS(cut, l2) && !cut->tunnel_depth) {
		SAME(l2_src);
		SAME(l2_dst);
	}
	if (HAS(cut, vlan) && !cut->tunnel_depth)
		SAME(vlan);
	if (HAS(cut, vlan_inner) && !cut->tunnel_depth)
		SAME(vlan_inner);
	if (HAS(cut, addr)) {
		SAME(src);
		SAME(dst);
		SAME(ip_version);
		SAME(ttl);
		SAME(dscp);
		SAME(ecn);
		SAME(flow_label);
		SAME(df);
		REQUIRE(!(cut->ip_options & ~whole->ip_options));
	}
	if (HAS(cut, ports)) {
		SAME(sport);
		SAME(dport);
		SAME(proto);
	}
	if (HAS(cut, tcp)) {
		SAME(seq);
		SAME(ack);
		SAME(tcp_flags);
		SAME(window);
		REQUIRE(cut->sack_permitted <= whole->sack_permitted);
	}
	if (HAS(cut, icmp)) {
		SAME(icmp_type);
		SAME(icmp_code);
	}
	if (HAS(cut, neighbor)) {
		SAME(neighbor);
		SAME(neighbor_mac);
		SAME(arp_operation);
	}
	if (HAS(cut, payload))
		SAME(payload_length);
}

int LLVMFuzzerTestOneInput(const __u8 *data, size_t size)
{
	struct hw_packet whole, cut;
	enum hw_start start;
	__u32 captured, length;

	if (size < PREFIX)
		return -1;
	start = data[0] & 1 ? HW_START_ip : HW_START_ethernet;
	captured = (__u32)size - PREFIX;
	length = captured + (__u32)(data[1] << 8 | data[2]);
	whole = parse(data + PREFIX, captured, length, start);
	check(&whole);
	cut = parse(data + PREFIX, captured ? data[3] % captured : 0, length, start);
	check(&cut);
	check_cut(&cut, &whole);
	return 0;
}
#endif
