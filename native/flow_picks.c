/* SPDX-License-Identifier: Apache-2.0 */
/* From the uids of flows to the frames in which their packets came. */
#include <stdlib.h>
#include <string.h>

#include "flow_state.h"
#include "fragments.h"

struct hw_picks {
	uint8_t (*uids)[12];
	uint32_t uid_count;
	struct hw_pick *made;
	size_t count, room;
	int lost; /* there was no memory for one */
};

int hw_flows_pick(struct hw_flows *flows, const void *uids, uint32_t count)
{
	struct hw_picks *picks = flows->picks = calloc(1, sizeof(*picks));

	if (!picks || !(picks->uids = calloc(count + 1, sizeof(*picks->uids))))
		return -1;
	memcpy(picks->uids, uids, count * sizeof(*picks->uids));
	picks->uid_count = count;
	hw_fragments_number(flows->fragments);
	return 0;
}

void hw_flows_free_picks(struct hw_flows *flows)
{
	if (!flows->picks)
		return;
	free(flows->picks->uids);
	free(flows->picks->made);
	free(flows->picks);
}

int64_t hw_flows_picked(struct hw_flows *flows, const struct hw_pick **made)
{
	struct hw_picks *picks = flows->picks;
	size_t count = picks->count;

	*made = picks->made;
	picks->count = 0;
	return picks->lost ? -1 : (int64_t)count;
}

static void put(struct hw_picks *picks, uint32_t frame, uint32_t uid)
{
	struct hw_pick *more;

	if (picks->count == picks->room) {
		more = realloc(picks->made, (picks->room + 512) * 2 * sizeof(*more));
		if (!more) {
			picks->lost = 1;
			return;
		}
		picks->made = more;
		picks->room = (picks->room + 512) * 2;
	}
	picks->made[picks->count++] = (struct hw_pick){.frame = frame, .uid = uid};
}

void hw_flows_pick_packet(struct hw_flows *flows, const uint8_t uid[12], int pieces)
{
	struct hw_picks *picks = flows->picks;
	const uint32_t *frames = &flows->payload.frame;
	uint32_t count = 1;

	if (pieces)
		frames = hw_fragments_frames(flows->fragments, &count);
	for (uint32_t i = 0; i < picks->uid_count; i++) {
		if (memcmp(picks->uids[i], uid, 12))
			continue;
		picks->lost |= !count; /* a whole datagram has pieces */
		for (uint32_t j = 0; j < count; j++)
			put(picks, frames[j], i);
	}
}
