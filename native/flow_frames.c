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

/*
 * All rows of a frame as they are to come back, and what the last of them carries: a piece of a datagram as nothing, and what it carries, until
 * the datagram is whole. What is odd goes with the row that came. Returns whether there is something.
 */
static int put(struct hw_frames *frames, struct hw_deferred *const *rows, uint32_t count, struct hw_parser *into,
	       struct hw_payload *payload)
{
	struct hw_packet all[HW_MOST_ROWS], whole[HW_MOST_ROWS];
	uint32_t i, more, odd, came = count;

	for (i = 0; i < count; i++)
		all[i] = rows[i]->row;
	into->row = all[count - 1];
	into->row.has = 0;
	for (i = 0; i < count; i++) {
		struct hw_flow_key key = {.proto = 0};

		if (hw_fragment_is_alone(&all[i]))
			continue;
		hw_flow_key_apart(&all[i], frames->apart, all[i].interface, &key);
		more = 0;
		if (all[i].captured >= all[i].length)
			more = hw_fragments_add(frames->fragments, &all[i], count - i, key.apart, whole, payload,
						i < came ? &rows[i]->odd : &odd);
		count = i + (i + more > HW_MOST_ROWS ? 0 : more);
		memcpy(&all[i], whole, (count - i) * sizeof(*whole));
		came = i + 1; /* behind it lies what was put together */
	}
	if (count && all[count - 1].segments)
		into->row = all[--count];
	memcpy(into->carriers, all, count * sizeof(*all));
	into->carrier_count = count;
	return count || into->row.has;
}

size_t hw_frames_take(struct hw_frames *frames, void *rows, const struct hw_payload *payloads, size_t count, void *into,
		      struct hw_payload *payload, int *ready)
{
	struct hw_deferred *all[HW_MOST_ROWS], *deferred = rows;
	struct hw_parser *frame = into;
	uint32_t found = 0;

	*ready = 0;
	for (size_t i = 0; i < count; i++) {
		struct hw_packet *row = &deferred[i].row;

		if (row->ts != deferred->row.ts) /* the rest of the frame before has found no room */
			return i;
		deferred[i].odd = 0;
		if (row->segments || found < HW_MAX_TUNNELS)
			all[found++] = &deferred[i];
		if (row->segments) {
			*payload = payloads ? payloads[i] : (struct hw_payload){0};
			*ready = put(frames, all, found, frame, payload);
			frame->headers = payload->length && payload->length == frame->row.payload_length;
			return i + 1;
		}
	}
	return 0;
}
