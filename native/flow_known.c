/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that were there before us, of which somebody knows who began them: an open-addressing table of hashes. */
#include <stdlib.h>
#include <string.h>

#include "../bpf/flow_hash.h"
#include "../bpf/flow_server.h"
#include "flow_state.h"

void hw_flow_known_of(const void *rows, size_t count, const void *salt, uint64_t *hashes, uint64_t *origs)
{
	const struct hw_packet *row = rows;
	struct hw_flow_key key;

	for (size_t i = 0; i < count; i++) {
		origs[i] = hw_flow_key(&row[i], &key);
		hashes[i] = hw_flow_known_hash(salt, &key);
	}
}

static uint64_t hash_of(const struct hw_flows *flows, const struct hw_flow_key *key)
{
	__u64 salt[8];

	memcpy(salt, flows->table.salt, sizeof(salt)); /* the same octets of another type */
	return hw_flow_known_hash(salt, key);
}

int hw_flows_know(struct hw_flows *flows, const void *rows, size_t count)
{
	struct hw_known *known = &flows->known;
	uint32_t slots = 16;

	while (slots < 2 * count)
		slots *= 2;
	free(known->hashes);
	known->hashes = calloc(slots, 2 * sizeof(*known->hashes));
	if (!known->hashes)
		return -1;
	known->mask = slots - 1;
	for (size_t i = 0; i < count; i++) {
		uint64_t hash, orig;
		uint32_t at;

		hw_flow_known_of((const struct hw_packet *)rows + i, 1, flows->table.salt, &hash, &orig);
		for (at = hash & known->mask; known->hashes[2 * at] && known->hashes[2 * at] != hash; at = (at + 1) & known->mask)
			;
		known->hashes[2 * at] = hash;
		known->hashes[2 * at + 1] = orig;
	}
	return 0;
}

int hw_flows_begin_with_answer(const struct hw_flows *flows, const struct hw_packet *row, const struct hw_sought *sought)
{
	const struct hw_known *known = &flows->known;

	if (known->hashes && row->proto == HW_PROTO_TCP && !(row->tcp_flags & HW_SYN)) {
		uint64_t hash = hash_of(flows, &sought->key);

		for (uint32_t at = hash & known->mask; known->hashes[2 * at]; at = (at + 1) & known->mask)
			if (known->hashes[2 * at] == hash)
				return sought->second ^ (int)known->hashes[2 * at + 1];
	}
	return hw_begins_with_answer(row);
}
