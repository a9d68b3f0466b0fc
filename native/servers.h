/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVERS_H
#define SERVERS_H

#include "flow_table.h"

/* The counts of one second, or of several servers, together. */
void hw_server_merge(struct hw_server *into, const struct hw_server *from);
/* From counts to a row: what it has, and the mean; `is_other`: of servers that found no room. */
void hw_server_finish(struct hw_server *row, int is_other);

/*
 * What the flows of each server do in a second, as rows of struct hw_server. A flow remembers where its server is counted, so that a packet
 * is counted without looking for it.
 */
struct hw_servers;
/* Keeps `most` servers of the table's flows apart, and counts all others together. NULL without memory. */
struct hw_servers *hw_servers_new(uint32_t most, const struct hw_flow_table *);
void hw_servers_free(struct hw_servers *);
/*
 * It is `now`, by a packet that may be late, or by the clock. Where that is of another second, the rows of the one before go into `rows`,
 * which has room for `most` + 1. Returns how many.
 */
uint32_t hw_servers_pass(struct hw_servers *, uint64_t now, struct hw_server *rows);
/* All flows have ended: the same for the last second, and a new beginning. */
uint32_t hw_servers_end(struct hw_servers *, struct hw_server *rows);

/* A packet of the side `which`, once the flow has taken it. */
void hw_servers_add(struct hw_servers *, struct hw_entry *, int which, const struct hw_packet *row);
/* The flow's sides have changed places with this packet: its server is another one, which what this second has counted goes to. */
void hw_servers_turn(struct hw_servers *, struct hw_entry *, const struct hw_packet *row);
/* The packet is an ICMP error about the flow. */
void hw_servers_refuse(struct hw_servers *, struct hw_entry *, const struct hw_packet *error);
/* The flow is over; `stopped`: only because all is. */
void hw_servers_finish(struct hw_servers *, struct hw_entry *, int stopped);

#endif
