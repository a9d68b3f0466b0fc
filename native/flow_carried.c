/* SPDX-License-Identifier: Apache-2.0 */
/* See flow_carried.h. Flows are found by their uid, so that one and the next of the same endpoints are not taken for each other. */
#include <stdlib.h>
#include <string.h>

#include "flow_carried.h"

struct place {
	uint64_t first;
	uint32_t entry; /* in the kernel's table */
	uint32_t next;	/* of the same slot; of free ones */
	uint8_t uid[12];
	uint8_t orig;
	uint8_t is_used;
};

struct hw_carried_flows {
	struct place *places;
	uint32_t *slots; /* the first of each, a number or HW_NOT_CARRIED */
	uint32_t most, used, free, mask;
	struct hw_wants *wants;
	uint32_t want_count;
};

struct hw_carried_flows *hw_carried_flows_new(uint32_t most)
{
	struct hw_carried_flows *flows = calloc(1, sizeof(*flows));
	uint32_t slots = 1;

	if (!flows)
		return NULL;
	while (slots < most)
		slots *= 2;
	flows->most = most;
	flows->mask = slots - 1;
	flows->free = HW_NOT_CARRIED;
	flows->places = calloc(most, sizeof(*flows->places)); /* what is not used takes no memory */
	flows->slots = calloc(slots, sizeof(*flows->slots));
	if (!flows->places || !flows->slots) {
		hw_carried_flows_free(flows);
		return NULL;
	}
	return flows;
}

void hw_carried_flows_free(struct hw_carried_flows *flows)
{
	if (!flows)
		return;
	free(flows->places);
	free(flows->slots);
	free(flows);
}

void hw_carried_flows_wants(struct hw_carried_flows *flows, struct hw_wants *wants, uint32_t count)
{
	flows->wants = wants;
	flows->want_count = count;
}

/* The slot of a uid, which is a keyed hash: none is needed of it. What is in a slot is one more than a number, and 0 is none. */
static uint32_t *slot_of(const struct hw_carried_flows *flows, const uint8_t uid[12])
{
	uint32_t hash;

	memcpy(&hash, uid, sizeof(hash));
	return &flows->slots[hash & flows->mask];
}

uint32_t hw_carried_find(const struct hw_carried_flows *flows, const uint8_t uid[12])
{
	uint32_t at;

	for (at = *slot_of(flows, uid); at; at = flows->places[at - 1].next)
		if (!memcmp(flows->places[at - 1].uid, uid, 12))
			return at - 1;
	return HW_NOT_CARRIED;
}

uint32_t hw_carried_make(struct hw_carried_flows *flows, const uint8_t uid[12], const struct hw_carried *head)
{
	uint32_t *slot = slot_of(flows, uid), number;
	struct place *place;

	if (flows->free != HW_NOT_CARRIED) {
		number = flows->free;
		flows->free = flows->places[number].next;
	} else if (flows->used < flows->most) {
		number = flows->used++;
	} else {
		return HW_NOT_CARRIED;
	}
	place = &flows->places[number];
	place->first = head->first;
	place->entry = head->entry;
	place->orig = head->orig;
	place->is_used = 1;
	memcpy(place->uid, uid, sizeof(place->uid));
	place->next = *slot;
	*slot = number + 1;
	return number;
}

uint32_t hw_carried_next(const struct hw_carried_flows *flows, uint32_t flow)
{
	while (flow < flows->used && !flows->places[flow].is_used)
		flow++;
	return flow < flows->used ? flow : HW_NOT_CARRIED;
}

void hw_carried_forget(struct hw_carried_flows *flows, uint32_t flow)
{
	uint32_t *at = slot_of(flows, flows->places[flow].uid);

	while (*at != flow + 1)
		at = &flows->places[*at - 1].next;
	*at = flows->places[flow].next;
	flows->places[flow].is_used = 0;
	flows->places[flow].next = flows->free;
	flows->free = flow;
}

int hw_carried_is_flipped(struct hw_carried_flows *flows, uint32_t flow, int orig)
{
	struct place *place = &flows->places[flow];
	int flipped = place->orig != orig;

	place->orig = orig;
	return flipped;
}

void hw_carried_want(struct hw_carried_flows *flows, uint32_t flow, int side, int64_t done, uint64_t ahead, uint32_t most)
{
	uint32_t at = done + ahead, to = at + most;
	const struct place *place = &flows->places[flow];
	struct hw_wants *wants;
	struct hw_want *want;

	if (place->entry >= flows->want_count)
		return;
	wants = &flows->wants[place->entry];
	if (__atomic_load_n(&wants->first, __ATOMIC_RELAXED) != place->first)
		return; /* the flow is over, and another one there */
	want = &wants->sides[(side ^ place->orig) & 1];
	if (most && most != HW_WANT_ALL && (int32_t)(to - want->to) <= 0)
		return; /* it is further by now: the kernel has seen the begin of a message */
	if (most && ahead && (int32_t)((uint32_t)done - want->from) >= 0 && (int32_t)(want->to - (uint32_t)done) > 0)
		return;	 /* what is wanted has not all come: by the begin of a body it is known what it is */
	want->from = at; /* where both change, a packet between them is taken for wanted, or for not */
	want->to = to;
}
