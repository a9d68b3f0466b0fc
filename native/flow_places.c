/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One packet may be seen at several places, and only one of them counts. In the kernel each place's packets are counted (bpf/flow_place.h);
 * here one place owns each side of a flow: that which saw it first, until it has been silent for a second.
 */
#include <stdlib.h>
#include <string.h>

#include "flow_state.h"

#define SILENT HW_SECOND

struct hw_flow_owners {
	struct {
		uint64_t last; /* the time of its last packet */
		uint32_t interface;
		uint32_t sight; /* by which hook, in which direction; 0: nobody is */
	} sides[2];		/* of the key's first endpoint, and of the second */
	uint32_t others[2];	/* interfaces that have seen it besides, one more than their number; 0: none */
};

int hw_flows_overlap(struct hw_flows *flows)
{
	if (!flows->owners)
		flows->owners = calloc(flows->table.most, sizeof(*flows->owners)); /* what is not used takes no memory */
	return flows->owners ? 0 : -1;
}

void hw_flows_own_nothing(struct hw_flows *flows, uint32_t flow)
{
	if (flows->owners)
		memset(&flows->owners[flow], 0, sizeof(*flows->owners));
}

int hw_flows_counts_here(struct hw_flows *flows, uint32_t flow, int second, const struct hw_packet *row)
{
	uint32_t interface = flows->interface + row->interface, sight = 1u << 16 | (uint32_t)row->hook << 8 | row->direction;
	struct hw_flow_owners *owners;

	if (!flows->owners)
		return 1;
	owners = &flows->owners[flow];
	if (owners->sides[second].sight && (owners->sides[second].sight != sight || owners->sides[second].interface != interface)) {
		uint32_t *other = owners->others;

		if (interface != owners->sides[second].interface && other[0] != interface + 1)
			other[!!other[0]] = interface + 1;
		if (row->ts <= owners->sides[second].last + SILENT)
			return 0;
	}
	owners->sides[second].sight = sight;
	owners->sides[second].interface = interface;
	if (row->ts > owners->sides[second].last)
		owners->sides[second].last = row->ts;
	return 1;
}

void hw_flows_tell_places(const struct hw_flows *flows, const struct hw_entry *entry, struct hw_conn *row)
{
	const struct hw_flow_owners *owners;
	uint32_t seen[4];

	if (!flows->owners || entry < flows->table.entries || entry >= flows->table.entries + flows->table.most)
		return; /* it lies elsewhere */
	owners = &flows->owners[hw_flow_number(&flows->table, entry)];
	seen[0] = owners->sides[0].sight ? owners->sides[0].interface + 1 : 0;
	seen[1] = owners->sides[1].sight ? owners->sides[1].interface + 1 : 0;
	memcpy(&seen[2], owners->others, sizeof(owners->others));
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++)
		if (seen[i])
			hw_conn_seen_on(row, seen[i] - 1);
}
