/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of flows.c share: packets find their flow in flow_packets.c, and flows become rows in flow_rows.c. */
#ifndef FLOW_STATE_H
#define FLOW_STATE_H

#include "flow_carried.h"
#include "flows.h"
#include "servers.h"
#include "streams.h"
#include "weird_rows.h"

struct hw_carrier {
	uint32_t flow;
	enum hw_tunnel tunnel;
	uint8_t uid[12];
};

/* Where a packet's flow is looked for; `second`: its sender is the second endpoint of the key. */
struct hw_sought {
	struct hw_flow_key key;
	uint32_t hash;
	int second;
};

/* Connections of which it is known who began them: hashes, each with which of its key's endpoints did. */
struct hw_known {
	uint64_t *hashes; /* NULL: none are */
	uint32_t mask;
};

struct hw_flows {
	struct hw_flow_settings settings;
	struct hw_flow_table table;
	struct hw_fragments *fragments;
	struct hw_known known;
	struct hw_flow_owners *owners;	   /* of each flow by its number; NULL: no packet is seen at several places */
	int is_duplicate;		   /* the packet that a flow was just found for is another place's */
	int in_pieces;			   /* it is a datagram that came so, or is in one */
	struct hw_servers *servers;	   /* NULL: nobody asks for them */
	struct hw_streams *streams;	   /* NULL: nobody reads what flows carry */
	struct hw_carried_flows *kernels;  /* NULL: the kernel keeps none; to streams, its flows have numbers from table.most on */
	const struct hw_payload *payloads; /* of the rows that are added, or NULL; */
	struct hw_payload payload;	   /* and of the one that is being added */
	struct hw_picks *picks;		   /* NULL: nobody asks for frames */
	struct hw_prefix *local;
	size_t local_count;
	struct hw_packet held[HW_MOST_ROWS]; /* of a frame with a piece of a datagram that carries packets: that, and what it carries */
	uint32_t held_count;
	uint32_t unpacking;			    /* so many whole datagrams, one within the other, */
	struct hw_carrier carriers[HW_MAX_TUNNELS]; /* of the next packet, the outermost first */
	uint32_t carrier_count;
	uint32_t carried_by;	  /* how many the packet before had, */
	struct hw_packet carried; /* and that packet; a further one of the same frame has the same */
	uint64_t carrier_ts;	  /* of one packet they have one time; live, a packet may be lost whose carriers are not */
	uint32_t sharer, sharers; /* which process this is, of so many; 0: alone */
	uint32_t interface;	  /* our number of that which a batch calls 0 */
	uint32_t ending;	  /* where hw_flows_end() goes on, */
	uint32_t reporting;	  /* and report() */
	uint64_t report_at;	  /* the next time to tell of flows that go on */
	uint32_t calm;		  /* times told since there was a packet */
	struct hw_flows_counts counts;
	struct hw_weird_rows weirds;
	struct hw_filter filters[2]; /* of flows whose rows are told, */
	struct hw_filter *asked;     /* and the one of them that is asked */
	struct hw_parser asking;     /* one of them as a row */
	__u64 salt[8];		     /* of the kernel's table, */
	int tells_left;		     /* which is to know of flows that are over here */
	struct hw_found *found;
};

static inline uint64_t hw_flows_deadline(const struct hw_flows *flows, const struct hw_entry *entry)
{
	if (entry->only_carries)
		return entry->flow.last + flows->settings.tunnel_timeout;
	return hw_flow_deadline(&entry->flow, entry->key.port[!entry->orig], &flows->settings);
}

/* Whether another process does not tell of that flow: packets of both directions, and other flows of the same addresses, are of one share. */
static inline int hw_flows_is_ours(const struct hw_flows *flows, const struct hw_flow_key *key)
{
	uint64_t words[4], hash = flows->table.salt[0];

	if (flows->sharers < 2)
		return 1;
	for (int i = 0; key->proto == HW_PROTO_UDP && i < 2; i++)
		if (key->port[i] == 67 || key->port[i] == 68 || key->port[i] == 4011)
			return flows->sharer == 0;
	memcpy(words, key->addr, sizeof(words));
	for (int i = 0; i < 4; i++)
		hash = hw_mix(hash, words[i]);
	return (hash >> 32) * flows->sharers >> 32 == flows->sharer;
}

/* -- flow_known.c --------------------------------------------------------------------------------------------------------------- */

/* Whether the first packet of a flow that is seen is an answer. */
int hw_flows_begin_with_answer(const struct hw_flows *, const struct hw_packet *row, const struct hw_sought *);

/* -- flow_places.c -------------------------------------------------------------------------------------------------------------- */

/* A flow begins in its place. */
void hw_flows_own_nothing(struct hw_flows *, uint32_t flow);
/* Whether a packet of the key's first or `second` endpoint is not one that another place has seen. */
int hw_flows_counts_here(struct hw_flows *, uint32_t flow, int second, const struct hw_packet *row);
/* The interfaces that saw it besides its own, as far as there is room. */
void hw_flows_tell_places(const struct hw_flows *, const struct hw_entry *, struct hw_conn *row);

/* -- flow_packets.c ------------------------------------------------------------------------------------------------------------- */

/* The flow that has the ends of `of`, seen where `row` was. */
void hw_flows_seek(const struct hw_flows *, const struct hw_packet *of, const struct hw_packet *row, struct hw_sought *);
/* A packet, */
void hw_flows_take_packet(struct hw_flows *, const struct hw_packet *row, const struct hw_sought *);
/* and what carries those after it. */
void hw_flows_take_carrier(struct hw_flows *, const struct hw_packet *row, const struct hw_sought *);
/* The same of one for which the kernel has no room; that has looked at what carries it. */
void hw_flows_take_refused(struct hw_flows *, const struct hw_deferred *);

/* -- flow_events.c -------------------------------------------------------------------------------------------------------------- */

/* What follows of its table, so that streams have numbers for those flows. */
#define HW_CARRIED_FLOWS (1u << 20)

/* -- flow_picks.c --------------------------------------------------------------------------------------------------------------- */

/* The packet that is being added, `pieces` of it if it came so, is of the flow of that uid, or about it. */
void hw_flows_pick_packet(struct hw_flows *, const uint8_t uid[12], int pieces);
void hw_flows_free_picks(struct hw_flows *);

/* -- flow_rows.c ---------------------------------------------------------------------------------------------------------------- */

/* Whether there may be no room for the rows that one packet makes. */
int hw_flows_is_full(const struct hw_flows *);
void hw_flows_begin_found(struct hw_flows *, struct hw_found *);
/* The row of a flow that is over, or NULL if nobody asks for it; `when` is 0 at the end of all. */
struct hw_conn *hw_flows_put_over(struct hw_flows *, const struct hw_entry *, uint64_t when, enum hw_conn_end why);
/* Likewise, of one that goes on, at that time. */
struct hw_conn *hw_flows_put_going(struct hw_flows *, const struct hw_entry *, uint64_t when);
void hw_flows_put_tunnel(struct hw_flows *, const struct hw_entry *, uint64_t ts, enum hw_tunnel_action);
/* This packet shows something odd of a flow: one thing, */
void hw_flows_put_weird(struct hw_flows *, const struct hw_entry *, int is_orig, const struct hw_packet *row, enum hw_weird name);
/* or each of the bits that it has added to the flow's `weirds`. */
void hw_flows_put_weirds(struct hw_flows *, const struct hw_entry *, int is_orig, const struct hw_packet *row, uint32_t added);
/* A flow is over. `now` is 0 at the end of all. */
void hw_flows_finish(struct hw_flows *, uint32_t flow, uint64_t now, enum hw_conn_end why);
/* The table is full: one goes that nobody has answered, the oldest; or else the one that would end first. */
void hw_flows_make_room(struct hw_flows *, uint64_t now);
/* It is `now`: tell of flows, and end them. Returns 0 if there is no more room for rows. */
int hw_flows_pass(struct hw_flows *, uint64_t now);

#endif
