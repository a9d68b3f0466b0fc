/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * One packet may be seen at several places: at a bridge and its port, at a VLAN device and its parent, at both ends of a veth pair, within a tunnel
 * and on the tunnel's device. Nothing in it tells so; a packet that was sent again looks the same. But each place sees the packets of a flow in
 * their order. So it is known of each how many segments it has seen, and a packet counts if its place has now seen more than any other: as
 * many are counted as there were at the place that saw most.
 *
 * A place that comes to a flow is taken to see what another has just seen. Where those have been silent for a second, it is in their stead
 * (a failover, an interface made anew). So of a flow that moves, one packet is not counted at most.
 */
#ifndef HW_FLOW_PLACE_H
#define HW_FLOW_PLACE_H

#include "flow.h"

#define HW_FLOW_PLACES 3 /* a further one takes the place of the last */
#define HW_PLACE_SILENT 1000000000ull

struct hw_flow_place {
	__u32 interface;
	__u32 sight; /* by which hook, in which direction; 0: none */
	__u64 seen;  /* segments */
};

/* Where packets of one side of a flow are seen. */
struct hw_flow_sights {
	hw_ktime last; /* the time of the last that counted */
	struct hw_flow_place places[HW_FLOW_PLACES];
};

/* Whether a packet of so many segments counts. */
HW_INLINE int hw_flow_counts_here(struct hw_flow_sights *sights, const struct hw_packet *row, __u32 segments)
{
	__u32 sight = 1u << 16 | (__u32)row->hook << 8 | row->direction, at = HW_FLOW_PLACES - 1, i;
	__u64 most = 0, seen;
	struct hw_flow_place *place;
	int is_known, is_alone;

	HW_UNROLL
	for (i = 0; i < HW_FLOW_PLACES; i++) {
		place = &sights->places[i];
		if (place->seen > most)
			most = place->seen;
		if (i < at && (!place->sight || (place->sight == sight && place->interface == row->interface)))
			at = i;
	}
	place = &sights->places[at];
	is_known = place->sight == sight && place->interface == row->interface;
	is_alone = !most || row->ts > sights->last + HW_PLACE_SILENT;
	seen = is_known && !is_alone ? place->seen + segments : most + (is_alone ? segments : 0);
	place->interface = row->interface;
	place->sight = sight;
	place->seen = seen;
	if (seen <= most)
		return 0;
	sights->last = row->ts;
	return 1;
}

#endif
