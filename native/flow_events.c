/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel's table of flows tells (bpf/flow_tell.h), as rows: those that its flows would have here. */
#include <string.h>

#include "../bpf/flow_tell.h"
#include "../bpf/flow_uid.h"
#include "flow_state.h"

size_t hw_flow_event_octets(void)
{
	return sizeof(struct hw_flow_event);
}

/* The flow as it would lie in our own table. */
static void make_entry(const struct hw_flows *flows, const struct hw_flow_event *event, struct hw_entry *entry)
{
	entry->key = event->key;
	entry->orig = event->orig;
	entry->tunnel = event->tunnel;
	entry->interface = flows->interface + event->interface;
	entry->rare = NULL;
	hw_uid_of(&event->key, event->first, event->again, flows->settings.secret, entry->uid);
}

/* The interfaces that saw it besides its own, as far as there is room. */
static void tell_interfaces(const struct hw_flows *flows, const struct hw_flow_event *event, struct hw_conn *row)
{
	size_t i;

	for (i = 0; row && i < sizeof(event->seen_on) / sizeof(event->seen_on[0]); i++)
		if (event->seen_on[i])
			hw_conn_seen_on(row, flows->interface + event->seen_on[i]);
}

static void hear_flow(struct hw_flows *flows, const struct hw_flow_event *event, struct hw_entry *entry)
{
	struct hw_filter *ours = flows->asked;
	struct hw_rare rare;

	entry->flow = event->flow;
	if (event->is_rare) {
		rare = event->rare;
		entry->rare = &rare;
	}
	flows->asked = &flows->filters[event->asked & 1]; /* what it was told by: since then there may be another one */
	tell_interfaces(flows, event,
			event->kind == HW_FLOW_EVENT_going ? hw_flows_put_going(flows, entry, event->when)
							   : hw_flows_put_over(flows, entry, event->when, event->why));
	flows->asked = ours;
}

static void hear_weird(struct hw_flows *flows, const struct hw_flow_event *event, const struct hw_entry *entry)
{
	int is_orig = event->second == event->orig;

	hw_weird_rows_at(&flows->weirds, event->row.ts);
	if (event->name)
		hw_flows_put_weird(flows, entry, is_orig, &event->row, event->name);
	else
		hw_flows_put_weirds(flows, entry, is_orig, &event->row, event->weirds);
}

size_t hw_flows_hear(struct hw_flows *flows, const void *events, size_t stride, size_t count, uint32_t interface, struct hw_found *found)
{
	const char *at = events;
	struct hw_entry entry;
	size_t i;

	hw_flows_begin_found(flows, found);
	flows->interface = interface;
	for (i = 0; i < count && !hw_flows_is_full(flows); i++, at += stride) {
		const struct hw_flow_event *event = (const struct hw_flow_event *)at;

		if (event->kind == HW_FLOW_EVENT_nothing)
			continue;
		make_entry(flows, event, &entry);
		switch (event->kind) {
		case HW_FLOW_EVENT_over:
		case HW_FLOW_EVENT_going:
			hear_flow(flows, event, &entry);
			break;
		case HW_FLOW_EVENT_carries:
			hw_flows_put_tunnel(flows, &entry, event->when, HW_TUNNEL_ACTION_discover);
			break;
		case HW_FLOW_EVENT_carried:
			if (event->why != HW_CONN_END_stopped && event->tunnel)
				hw_flows_put_tunnel(flows, &entry, event->when, HW_TUNNEL_ACTION_expire);
			break;
		case HW_FLOW_EVENT_weird:
			hear_weird(flows, event, &entry);
			break;
		}
	}
	found->weird_count = flows->weirds.made;
	return i;
}
