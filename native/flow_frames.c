/* SPDX-License-Identifier: Apache-2.0 */
/* Frames with datagrams in pieces, which the kernel's table of flows gets back when they are whole. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../bpf/flow.h"
#include "fragments.h"
#include "headwater.h"

struct hw_frames {
	struct hw_fragments *fragments;
	uint32_t apart;
};

struct hw_frames *hw_frames_new(uint32_t datagrams, uint32_t apart)
{
	struct hw_frames *frames = calloc(1, sizeof(*frames));
	uint64_t salt;

	if (!frames)
		return NULL;
	frames->apart = apart;
	if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt) || !(frames->fragments = hw_fragments_new(datagrams, salt))) {
		free(frames);
		return NULL;
	}
	return frames;
}

void hw_frames_free(struct hw_frames *frames)
{
	if (frames)
		hw_fragments_free(frames->fragments);
	free(frames);
}

size_t hw_frames_octets(void)
{
	return sizeof(struct hw_parser);
}

void hw_frames_keep(struct hw_frames *frames)
{
	hw_fragments_keep(frames->fragments);
}

/* The row as it is to come back, and what it carries: a piece as nothing, unless its datagram is whole with it. Returns whether there is
 * something. */
static int put(struct hw_frames *frames, struct hw_deferred *deferred, struct hw_packet *into, struct hw_payload *payload)
{
	const struct hw_packet *row = &deferred->row;
	uint32_t tunnel = row->tunnel, segments = row->segments;
	struct hw_flow_key key = {.proto = 0};

	*into = *row;
	deferred->odd = 0;
	if (!hw_is_fragment(row))
		return 1;
	if (row->captured < row->length) { /* what was not captured whole cannot be put together: its first piece stands for it */
		into->has = row->fragment_offset ? 0 : row->has;
		return into->has != 0;
	}
	hw_flow_key_apart(row, frames->apart, row->interface, &key);
	if (!hw_fragments_add(frames->fragments, row, key.apart, into, payload, &deferred->odd)) {
		into->has = 0;
		return 0;
	}
	into->tunnel = tunnel;
	into->segments = segments;
	return 1;
}

size_t hw_frames_take(struct hw_frames *frames, void *rows, const struct hw_payload *payloads, size_t count, void *into,
		      struct hw_payload *payload, int *ready)
{
	struct hw_deferred *deferred = rows;
	struct hw_parser *frame = into;

	*ready = 0;
	frame->carrier_count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct hw_packet *row = &deferred[i].row;

		if (row->ts != deferred->row.ts) {
			*ready = 0; /* the rest of the frame before has found no room */
			return i;
		}
		*payload = payloads ? payloads[i] : (struct hw_payload){0};
		if (row->segments) {
			*ready |= put(frames, &deferred[i], &frame->row, payload);
			frame->headers = payload->length && payload->length == frame->row.payload_length;
			return i + 1;
		}
		if (frame->carrier_count < HW_MAX_TUNNELS)
			*ready |= put(frames, &deferred[i], &frame->carriers[frame->carrier_count++], payload);
	}
	return 0;
}
