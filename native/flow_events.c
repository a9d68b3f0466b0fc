/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel's table of flows tells (bpf/flow_tell.h), as rows: those that its flows would have here; and what its flows carry. */
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

/* All that it carried has come, as it comes before. */
static void end_stream(struct hw_flows *flows, const struct hw_flow_event *event, const struct hw_entry *entry)
{
	uint32_t number = flows->kernels ? hw_carried_find(flows->kernels, entry->uid) : HW_NOT_CARRIED, flow = flows->table.most + number;
	uint32_t stream = HW_NO_STREAM;

	if (number != HW_NOT_CARRIED) {
		if (hw_carried_is_flipped(flows->kernels, number, entry->orig))
			hw_streams_flip(flows->streams, flow, event->when);
		if (event->key.proto == HW_PROTO_TCP)
			hw_streams_come_to(flows->streams, flow, &entry->flow, event->when);
		stream = hw_streams_finish(flows->streams, flow, event->when);
		hw_carried_forget(flows->kernels, number);
	}
	flows->found->conn_streams[flows->found->conn_count] = stream;
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
	if (flows->streams && event->kind == HW_FLOW_EVENT_over)
		end_stream(flows, event, entry);
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

/* -- what flows carry ------------------------------------------------------------------------------------------------------------- */

size_t hw_carried_octets(void)
{
	return sizeof(struct hw_carried);
}

int hw_flows_hear_of(struct hw_flows *flows, void *wants, uint32_t count)
{
	if (!flows->kernels)
		flows->kernels = hw_carried_flows_new(HW_CARRIED_FLOWS);
	if (!flows->kernels)
		return -1;
	hw_carried_flows_wants(flows->kernels, wants, count);
	return 0;
}

/* As much of the flow as streams look at. */
static void make_carried_entry(const struct hw_flows *flows, const struct hw_carried *head, struct hw_entry *entry)
{
	int which = (head->second ^ head->orig) & 1;

	memset(entry, 0, sizeof(*entry));
	entry->key = head->key;
	entry->orig = head->orig;
	entry->flow.first = head->first;
	entry->flow.marks = head->partial ? HW_FLOW_partial : 0;
	entry->flow.sides[HW_RESP].marks = head->network ? HW_SIDE_rtt : 0;
	entry->flow.more[HW_RESP].rtt = head->network;
	entry->flow.sides[which].ended = head->ended;
	entry->flow.sides[which].unfollowed = head->unfollowed;
	entry->flow.more[which].delivered = head->delivered;
	hw_uid_of(&head->key, head->first, head->again, flows->settings.secret, entry->uid);
}

/* Of the other side's stream, what nobody wanted went by before this packet. */
static void pass(const struct hw_flows *flows, uint32_t flow, const struct hw_carried *head)
{
	uint32_t stream = hw_streams_of(flows->streams, flow);
	int other = !((head->second ^ head->orig) & 1);
	struct hw_flow gone;
	int64_t done;
	int32_t more;

	if (stream == HW_NO_STREAM || head->key.proto != HW_PROTO_TCP)
		return;
	done = hw_streams_done(flows->streams, stream, other);
	more = head->passed - (uint32_t)done;
	if (more <= 0)
		return;
	memset(&gone, 0, sizeof(gone));
	gone.more[other].delivered = done + more;
	hw_streams_come_to(flows->streams, flow, &gone, head->passed_at);
}

/* Each datagram that the packet stands for, or the segment. */
static void hear_octets(struct hw_flows *flows, uint32_t flow, const struct hw_entry *entry, const struct hw_carried *head,
			struct hw_payload payload)
{
	struct hw_packet row = {.ts = head->ts, .seq = head->place, .tcp_flags = head->tcp_flags & ~HW_SYN};
	uint32_t left = payload.length, each = entry->key.proto == HW_PROTO_UDP && head->each ? head->each : left;

	do {
		payload.length = row.payload_length = left < each ? left : each;
		hw_streams_add(flows->streams, flow, entry, (head->second ^ head->orig) & 1, &row, &payload);
		payload.octets += payload.length;
		left -= payload.length;
	} while (left);
}

static void hear_carried(struct hw_flows *flows, const struct hw_carried *head, const struct hw_payload *payload)
{
	struct hw_entry entry;
	uint32_t number, flow;

	if (head->ts > flows->counts.latest)
		flows->counts.latest = head->ts;
	make_carried_entry(flows, head, &entry);
	number = hw_carried_find(flows->kernels, entry.uid);
	if (number == HW_NOT_CARRIED) {
		if (!payload->length)
			return;
		number = hw_carried_make(flows->kernels, entry.uid, head);
		if (number == HW_NOT_CARRIED) {
			hw_streams_refuse(flows->streams, payload->length);
			return;
		}
		hw_streams_clear(flows->streams, flows->table.most + number);
	}
	flow = flows->table.most + number;
	if (hw_carried_is_flipped(flows->kernels, number, head->orig))
		hw_streams_flip(flows->streams, flow, head->ts);
	pass(flows, flow, head);
	hear_octets(flows, flow, &entry, head, *payload);
}

size_t hw_flows_hear_carried(struct hw_flows *flows, const void *carried, size_t stride, size_t count, uint32_t interface,
			     struct hw_found *found)
{
	const char *at = carried;

	hw_flows_begin_found(flows, found);
	for (size_t i = 0; i < count; i++, at += stride)
		hear_carried(flows, (const struct hw_carried *)at, &flows->payloads[i]);
	flows->payloads = NULL;
	return count;
}
