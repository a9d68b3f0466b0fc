/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What servers do in a second, counted by the kernel where it keeps flows: struct hw_server, by responder, port and protocol.
 *
 * Each CPU has slots of its own, twice: one half is counted into while user space reads and empties the other (native/seconds.c). Servers of
 * whom a flow shows that they serve have the upper half of the slots, so that a scan of many addresses takes none of theirs; what finds no
 * room is counted in one last slot.
 */
#ifndef HW_FLOW_SECONDS_H
#define HW_FLOW_SECONDS_H

#include "flow_map.h"
#include "flow_phase.h"

#define HW_SECOND_PROBES 8

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_server);
} hw_flow_seconds SEC(".maps");

/* Spreads servers over the slots. */
HW_INLINE __u32 hw_second_mix(const __u8 *addr, __u32 port, __u32 proto)
{
	__u64 mixed = (HW_LOAD(__u64, addr) ^ hw_control.flows.salt[0]) * 0x9e3779b97f4a7c15ull;

	mixed = (mixed ^ mixed >> 32 ^ HW_LOAD(__u64, addr + 8)) * 0xc2b2ae3d27d4eb4full;
	mixed = (mixed ^ mixed >> 29 ^ (port | proto << 16)) * 0xbf58476d1ce4e5b9ull;
	return mixed >> 32;
}

/* The first slot of this CPU; the one behind its last is for what finds no room. */
HW_INLINE __u32 hw_second_base(void)
{
	return ((hw_control.flows.half & 1) * hw_control.cpus + bpf_get_smp_processor_id()) * (hw_control.flows.servers + 1);
}

/* The slot of a flow's server, if its originator is the key's endpoint `orig`; what finds no room has the last one. */
HW_STEP int hw_second_place(const struct hw_flow_entry *entry, __u32 orig)
{
	__u32 slots = hw_control.flows.servers, base = hw_second_base(), half = slots / 2, start, place, proto, i;
	struct hw_server *slot;
	const __u8 *addr;
	hw_port port;

	if (!entry)
		return 0;
	addr = orig & 1 ? entry->key.addr[0] : entry->key.addr[1];
	port = orig & 1 ? entry->key.port[0] : entry->key.port[1];
	proto = entry->flow.proto;
	if (proto != HW_PROTO_TCP && proto != HW_PROTO_UDP)
		port = 0;
	start = hw_second_mix(addr, port, proto);
	place = base + slots;
	if (hw_phase_is_proof(entry->phase, &entry->flow))
		base += half;
	for (i = 0; i < HW_SECOND_PROBES; i++) {
		__u32 at = base + ((start + i) & (half - 1));

		slot = bpf_map_lookup_elem(&hw_flow_seconds, &at);
		if (!slot)
			return place;
		if (!slot->has) {
			hw_copy_addr(slot->addr, addr);
			slot->port = port;
			slot->proto = proto;
			slot->has = HW_SERVER_HAS_server;
			return at;
		}
		if (slot->port == port && slot->proto == proto && hw_addr_is(slot->addr, addr))
			return at;
	}
	return place;
}

/* Under the entry's lock: what has become of the flow, and its packet of the side `which`, or none. */
HW_STEP int hw_second_count(struct hw_flow_entry *entry, const struct hw_packet *row, __u32 which, __u32 news)
{
	__u32 last = hw_second_base() + hw_control.flows.servers, place, resent, again, half;
	struct hw_server *slot, *other;

	if (!entry || !hw_control.flows.servers)
		return 0;
	resent = hw_flow_resent(&entry->flow);
	again = resent - entry->resent;
	entry->resent = resent;
	if (row && entry->phase <= HW_PHASE_half_open)
		news |= hw_phase_advance(&entry->flow, &entry->phase);
	place = hw_second_place(entry, entry->orig);
	slot = bpf_map_lookup_elem(&hw_flow_seconds, &place);
	other = bpf_map_lookup_elem(&hw_flow_seconds, &last);
	if (!slot || !other)
		return 0;
	entry->counted = 1 + (entry->orig & 1);
	if (news & HW_NEWS_half_opened)
		entry->is_half_elsewhere = place == last;
	half = !!(news & HW_NEWS_half_opened) - !!(news & HW_NEWS_half_closed); /* what it adds; below 0, as user space knows */
	if (entry->is_half_elsewhere)
		other->half_open += half;
	else
		slot->half_open += half;
	if (row)
		hw_count_packet(slot, which, row, again);
	hw_count_news(slot, &entry->flow, news);
	return 0;
}

/*
 * Under the entry's lock, before the packet is counted: with it, the sides have changed places. What this second has counted of the flow goes
 * to the other server, of which another CPU may have counted a part: user space adds them up.
 */
HW_STEP int hw_second_turn(struct hw_flow_entry *entry, const struct hw_packet *row)
{
	__u32 place, half = entry && entry->phase == HW_PHASE_half_open && !entry->is_half_elsewhere, moves;
	struct hw_server *from, *to;
	__u64 packets, octets;

	if (!entry || !row)
		return 0;
	packets = hw_flow_packets(&entry->flow) - 1;
	octets = entry->flow.sides[HW_ORIG].ip_bytes + entry->flow.sides[HW_RESP].ip_bytes - row->ip_length;
	moves = entry->phase == HW_PHASE_unknown && entry->flow.first >= hw_control.flows.half_at;
	place = hw_second_place(entry, !(entry->orig & 1));
	from = bpf_map_lookup_elem(&hw_flow_seconds, &place);
	place = hw_second_place(entry, entry->orig);
	to = bpf_map_lookup_elem(&hw_flow_seconds, &place);
	if (!from || !to)
		return 0;
	from->half_open -= half;
	to->half_open += half;
	if (!moves)
		return 0;
	from->begun--;
	from->orig_pkts -= packets;
	from->orig_ip_bytes -= octets;
	from->orig_retransmits -= entry->resent;
	to->begun++;
	to->resp_pkts += packets;
	to->resp_ip_bytes += octets;
	to->resp_retransmits += entry->resent;
	return 0;
}

/* An ICMP error is about the flow. A step, because of the stack that its caller needs. */
HW_STEP int hw_second_refuse(struct hw_flow_entry *entry, const struct hw_packet *error)
{
	if (!entry || !error)
		return 0;
	return hw_second_count(entry, 0, 0, hw_phase_refuse(&entry->phase, error));
}

#endif
