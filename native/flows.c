/* SPDX-License-Identifier: Apache-2.0 */
/* Flows of packets that reach user space: batches of packets come, and rows go. What a flow is says bpf/flow.h. */
#include <stdlib.h>
#include <string.h>

#include "flow_state.h"
#include "fragments.h"

#define DATAGRAMS 4096
#define FAR 16 /* packets before its turn that a flow is looked for, */
#define NEAR 8 /* and that it is asked for */

struct hw_flows *hw_flows_new(const void *settings, const struct hw_prefix *local, size_t local_count)
{
	struct hw_flows *flows = calloc(1, sizeof(*flows));

	if (!flows)
		return NULL;
	memcpy(&flows->settings, settings, sizeof(flows->settings));
	hw_weird_rows_make(&flows->weirds, flows->settings.weirds_a_second, flows->settings.ignored_weirds);
	flows->asked = flows->filters;
	flows->local = calloc(local_count + 1, sizeof(*local));
	flows->local_count = local_count;
	if (!flows->local || hw_flow_table_make(&flows->table, flows->settings.most) ||
	    !(flows->fragments = hw_fragments_new(DATAGRAMS, flows->table.salt[0]))) {
		hw_flows_free(flows);
		return NULL;
	}
	if (local_count)
		memcpy(flows->local, local, local_count * sizeof(*local));
	return flows;
}

void hw_flows_free(struct hw_flows *flows)
{
	if (!flows)
		return;
	hw_flow_table_clear(&flows->table);
	hw_fragments_free(flows->fragments);
	hw_servers_free(flows->servers);
	hw_streams_free(flows->streams);
	hw_carried_flows_free(flows->kernels);
	hw_flows_free_picks(flows);
	free(flows->known.hashes);
	free(flows->owners);
	free(flows->local);
	free(flows);
}

int hw_flows_tell_servers(struct hw_flows *flows, uint32_t most)
{
	flows->servers = hw_servers_new(most, &flows->table);
	return flows->servers ? 0 : -1;
}

void hw_flows_share(struct hw_flows *flows, uint32_t number, uint32_t count)
{
	flows->sharer = number;
	flows->sharers = count;
}

int hw_flows_follow(struct hw_flows *flows, uint32_t most, size_t waiting)
{
	flows->streams = hw_streams_new(most, flows->table.most + HW_CARRIED_FLOWS, waiting);
	hw_fragments_keep(flows->fragments);
	return flows->streams ? 0 : -1;
}

void hw_flows_carry(struct hw_flows *flows, const struct hw_payload *payloads)
{
	flows->payloads = payloads;
}

int hw_flows_runs(struct hw_flows *flows, struct hw_runs *into)
{
	return hw_streams_runs(flows->streams, into);
}

void hw_flows_want(struct hw_flows *flows, uint32_t stream, uint32_t sides)
{
	hw_streams_want(flows->streams, stream, sides);
	for (int side = 0; side < 2; side++)
		if (!(sides >> side & 1))
			hw_flows_budget(flows, stream, side, 0, 0);
}

void hw_flows_budget(struct hw_flows *flows, uint32_t stream, int side, uint64_t ahead, uint32_t most)
{
	uint32_t flow = hw_streams_flow(flows->streams, stream);

	if (flows->kernels && flow >= flows->table.most)
		hw_carried_want(flows->kernels, flow - flows->table.most, side, hw_streams_done(flows->streams, stream, side), ahead, most);
}

void hw_flows_streams_counts(const struct hw_flows *flows, struct hw_streams_counts *into)
{
	hw_streams_counts_of(flows->streams, into);
}

void hw_flows_tell_left(struct hw_flows *flows, const void *salt)
{
	memcpy(flows->salt, salt, sizeof(flows->salt));
	flows->tells_left = 1;
}

void hw_flows_ask(struct hw_flows *flows, const void *filter, int place)
{
	flows->asked = &flows->filters[place & 1];
	memcpy(flows->asked, filter, sizeof(*flows->asked));
}

void hw_flows_counts_of(const struct hw_flows *flows, struct hw_flows_counts *into)
{
	*into = flows->counts;
	into->flows = flows->table.used - flows->counts.only_carrying;
	into->octets = hw_flow_table_octets(&flows->table);
	hw_fragments_counts(flows->fragments, &into->fragments_waiting, &into->fragments_given_up);
}

void hw_flows_begin_found(struct hw_flows *flows, struct hw_found *found)
{
	flows->found = found;
	found->conn_count = found->long_count = found->tunnel_count = found->server_count = found->left_count = found->weird_count = 0;
	hw_weird_rows_begin(&flows->weirds, found->weirds);
	if (flows->streams)
		hw_streams_begin(flows->streams);
}

/* It is `now`. Returns whether there are rows of the servers' second, which is over then. */
static int tell_servers(struct hw_flows *flows, uint64_t now)
{
	if (!flows->servers)
		return 0;
	flows->found->server_count = hw_servers_pass(flows->servers, now, flows->found->servers);
	return flows->found->server_count > 0;
}

/* Before a packet is taken. Returns 0 if there is no room for what its time brings. */
static int come_to(struct hw_flows *flows, uint64_t ts)
{
	if (tell_servers(flows, ts) || !hw_flows_pass(flows, ts))
		return 0;
	flows->calm = 0;
	if (ts > flows->counts.latest)
		flows->counts.latest = ts;
	hw_weird_rows_at(&flows->weirds, ts);
	return 1;
}

size_t hw_flows_add(struct hw_flows *flows, const void *rows, size_t stride, size_t count, uint32_t interface, struct hw_found *found)
{
	const char *at = rows, *ahead = rows;
	struct hw_sought sought[2 * FAR], *next;
	size_t i, looked = 0;

	hw_flows_begin_found(flows, found);
	flows->interface = interface;
	for (i = 0; i < count; i++, at += stride) {
		const struct hw_packet *row = (const struct hw_packet *)at;

		for (; looked < count && looked <= i + FAR; looked++, ahead += stride) {
			const struct hw_packet *of = (const struct hw_packet *)ahead;

			next = &sought[looked % (2 * FAR)];
			hw_flows_seek(flows, of, of, next);
			hw_flow_expect_slot(&flows->table, next->hash);
		}
		if (i + NEAR < looked) {
			next = &sought[(i + NEAR) % (2 * FAR)];
			hw_flow_expect(&flows->table, next->hash, next->key.proto == HW_PROTO_TCP);
		}
		if (!come_to(flows, row->ts))
			break;
		if (flows->payloads)
			flows->payload = flows->payloads[i];
		if (row->segments)
			hw_flows_take_packet(flows, row, &sought[i % (2 * FAR)]);
		else
			hw_flows_take_carrier(flows, row, &sought[i % (2 * FAR)]);
	}
	found->weird_count = flows->weirds.made;
	flows->payloads = NULL;
	flows->payload.length = 0;
	return i;
}

size_t hw_flows_add_refused(struct hw_flows *flows, const void *rows, size_t stride, size_t count, uint32_t interface,
			    struct hw_found *found)
{
	const char *at = rows;
	size_t i;

	hw_flows_begin_found(flows, found);
	flows->interface = interface;
	for (i = 0; i < count; i++, at += stride) {
		const struct hw_deferred *refused = (const struct hw_deferred *)at;

		if (!come_to(flows, refused->row.ts))
			break;
		if (flows->payloads)
			flows->payload = flows->payloads[i];
		hw_flows_take_refused(flows, refused);
	}
	found->weird_count = flows->weirds.made;
	flows->payloads = NULL;
	flows->payload.length = 0;
	return i;
}

int hw_flows_expire(struct hw_flows *flows, uint64_t now, struct hw_found *found)
{
	int more;

	hw_flows_begin_found(flows, found);
	more = tell_servers(flows, now - HW_SECOND) || !hw_flows_pass(flows, now); /* packets of the last second may be in the rings yet */
	found->weird_count = flows->weirds.made;
	return more;
}

/* Flows of the kernel that outlive us, or whose end was not told. */
static void end_carried(struct hw_flows *flows)
{
	uint32_t flow = 0;

	while ((flow = hw_carried_next(flows->kernels, flow)) != HW_NOT_CARRIED) {
		hw_streams_finish(flows->streams, flows->table.most + flow, flows->counts.latest);
		hw_carried_forget(flows->kernels, flow);
	}
}

int hw_flows_end(struct hw_flows *flows, struct hw_found *found)
{
	hw_flows_begin_found(flows, found);
	for (; flows->ending < flows->table.places && !hw_flows_is_full(flows); flows->ending++)
		if (hw_flow_at(&flows->table, flows->ending)->due)
			hw_flows_finish(flows, flows->ending, 0, HW_CONN_END_stopped);
	if (flows->kernels)
		end_carried(flows);
	hw_weird_rows_end(&flows->weirds);
	found->weird_count = flows->weirds.made;
	if (found->conn_count || found->tunnel_count || found->weird_count || found->left_count)
		return 1;
	flows->ending = 0; /* more may begin, and end */
	if (flows->servers)
		found->server_count = hw_servers_end(flows->servers, found->servers);
	return 0;
}
