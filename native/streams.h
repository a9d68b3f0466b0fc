/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What flows carry: the octets of each TCP direction in order, and datagrams. Which octets are due says the flow (bpf/flow_stream.h); what
 * comes before its turn waits here.
 */
#ifndef STREAMS_H
#define STREAMS_H

#include "flow_table.h"
#include "headwater.h"

struct hw_streams;
/* `most` streams at a time, of a table of so many `flows`; parts that wait take `waiting` octets at most. NULL without memory. */
struct hw_streams *hw_streams_new(uint32_t most, uint32_t flows, size_t waiting);
void hw_streams_free(struct hw_streams *);
/* What was handed out is used up: streams that were over are gone. */
void hw_streams_begin(struct hw_streams *);
/* A flow begins in that place of the table. */
void hw_streams_clear(struct hw_streams *, uint32_t flow);
/* A packet was added to a flow, as one of the side `which`. */
void hw_streams_add(struct hw_streams *, uint32_t flow, const struct hw_entry *, int which, const struct hw_packet *row,
		    const struct hw_payload *);
/* Nothing came of a TCP flow but the news of how far it is. */
void hw_streams_come_to(struct hw_streams *, uint32_t flow, const struct hw_flow *, uint64_t ts);
/* What a packet carries stays where it is said to be then, until it is used up, or is nothing without memory. */
void hw_streams_hold(struct hw_streams *, struct hw_payload *);
/* So many octets of a flow that has no number. */
void hw_streams_refuse(struct hw_streams *, uint64_t octets);
/* The sides of a flow have changed places. */
void hw_streams_flip(struct hw_streams *, uint32_t flow, uint64_t ts);
/* A flow is over. Returns the number of its stream, or HW_NO_STREAM. */
uint32_t hw_streams_finish(struct hw_streams *, uint32_t flow, uint64_t ts);
/* The number of a flow's stream, or HW_NO_STREAM. */
uint32_t hw_streams_of(const struct hw_streams *, uint32_t flow);
/* And the other way round. */
uint32_t hw_streams_flow(const struct hw_streams *, uint32_t stream);
/* Up to which place of a side all has been handed out. */
int64_t hw_streams_done(const struct hw_streams *, uint32_t stream, int side);
int hw_streams_runs(struct hw_streams *, struct hw_runs *into);
void hw_streams_want(struct hw_streams *, uint32_t stream, uint32_t sides);
void hw_streams_counts_of(const struct hw_streams *, struct hw_streams_counts *into);

#endif
