/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of flows that lie in the kernel's table: which is which, and how much of each the kernel is told to hand over. */
#ifndef FLOW_CARRIED_H
#define FLOW_CARRIED_H

#include "../bpf/flow_carried.h"
#include "flow_table.h"

#define HW_NOT_CARRIED UINT32_MAX

struct hw_carried_flows;
/* With room for `most`. NULL without memory. */
struct hw_carried_flows *hw_carried_flows_new(uint32_t most);
void hw_carried_flows_free(struct hw_carried_flows *);
/* Where the kernel reads what is wanted of each entry of its table. */
void hw_carried_flows_wants(struct hw_carried_flows *, struct hw_wants *wants, uint32_t count);
/* The number of the flow of that uid; HW_NOT_CARRIED if there is none. */
uint32_t hw_carried_find(const struct hw_carried_flows *, const uint8_t uid[12]);
/* One more, of which `head` is the first that came. HW_NOT_CARRIED if there is no room. */
uint32_t hw_carried_make(struct hw_carried_flows *, const uint8_t uid[12], const struct hw_carried *head);
/* The first number from `flow` on that is of one; HW_NOT_CARRIED if none is. */
uint32_t hw_carried_next(const struct hw_carried_flows *, uint32_t flow);
void hw_carried_forget(struct hw_carried_flows *, uint32_t flow);
/* Whether the sides of the flow have changed places since it was asked last. */
int hw_carried_is_flipped(struct hw_carried_flows *, uint32_t flow, int orig);
/*
 * Of a side of which all before that place has come, `most` octets are wanted that begin so many `ahead` of it, once what is wanted before them
 * has come, too.
 */
void hw_carried_want(struct hw_carried_flows *, uint32_t flow, int side, int64_t done, uint64_t ahead, uint32_t most);

#endif
