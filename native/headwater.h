/* SPDX-License-Identifier: Apache-2.0 */
/* What the native module offers to Python. native/build.py hands these declarations to cffi as they stand. */
#ifndef HEADWATER_H
#define HEADWATER_H

#include <stddef.h>
#include <stdint.h>

#include "../bpf/records.h"

/*cffi*/
/* -- rows.c: what numpy would need an object per row for ------------------------------------------------------------------ */

/* Text of `count` addresses that lie `stride` octets apart, one after another in `text` (46 octets each at most); offsets[i] is
 * where the i-th begins, offsets[count] the end. Where `has` (same stride) holds none of `wanted`, the text is empty. */
void hw_format_addresses(const void *first, const void *has, size_t stride, size_t count, uint32_t wanted, char *text, int32_t *offsets);
/* The same for link-layer addresses (17 octets each). */
void hw_format_macs(const void *first, const void *has, size_t stride, size_t count, uint32_t wanted, char *text, int32_t *offsets);

/* uids (18 octets at most, nothing where they are zero), several of them (75), community ids (30) and letters (40). Where `wanted` is 0, all are there. */
void hw_format_uids(const void *first, const void *has, size_t stride, size_t count, uint32_t wanted, char *text, int32_t *offsets);
void hw_format_uid_lists(const void *first, const void *has, size_t stride, size_t count, uint32_t wanted, char *text, int32_t *offsets);
void hw_format_community_ids(const void *first, const void *has, size_t stride, size_t count, uint32_t wanted, char *text,
			     int32_t *offsets);
void hw_format_letters(const void *first, const void *has, size_t stride, size_t count, uint32_t wanted, char *text, int32_t *offsets);

/* -- rollup.c: packets and octets by group, over rows of struct hw_packet `stride` octets apart ---------------------------- */

struct hw_talker {
	uint8_t addr[16];
	uint64_t packets;
	uint64_t octets;
};
struct hw_rollup;
/* `groups` at most of each kind; what finds no room is counted in a last row that has no key. NULL without memory. */
struct hw_rollup *hw_rollup_new(uint32_t groups);
void hw_rollup_free(struct hw_rollup *);
void hw_rollup_add(struct hw_rollup *, const void *rows, size_t stride, size_t count, int rates, int talkers);
/* Adds what the kernel counted, an array of struct hw_rate_slot that no program writes to any more, and empties it. */
void hw_rollup_take_slots(struct hw_rollup *, void *slots, size_t count);
/* Hands out the groups since the last call, up to `groups` + 1, and begins anew. Returns how many. `into` holds struct hw_rate. */
uint32_t hw_rollup_take_rates(struct hw_rollup *, void *into, uint64_t ts);
uint32_t hw_rollup_take_talkers(struct hw_rollup *, struct hw_talker *into);

/* -- weird.c: what is odd, out of rows of struct hw_packet `stride` octets apart ------------------------------------------- */

enum { HW_WEIRD_NAMES = 128, HW_WEIRDS_ROOM = 1024 }; /* more than enum hw_weird has; rows of struct hw_weird_row that `into` holds */
struct hw_weirds;
/* Remembers so many addresses and packets, and gives a row each to `a_second` of a name in a second; the rest share one. `ignored` has a
 * bit for each name that is not told, in two words; NULL: none. NULL without memory. */
struct hw_weirds *hw_weirds_new(uint32_t neighbors, uint32_t passages, uint32_t a_second, const uint64_t *ignored);
void hw_weirds_free(struct hw_weirds *);
/* What follows is of other interfaces. */
void hw_weirds_forget(struct hw_weirds *);
/* Returns how many rows it made; `done` is how many packets it took: all, unless `into` became full. */
size_t hw_weirds_add(struct hw_weirds *, const void *rows, size_t stride, size_t count, void *into, size_t *done);
/* The rows for the rest of the last second. */
size_t hw_weirds_end(struct hw_weirds *, void *into);

enum { HW_MOST_ROWS = 5 }; /* of one packet: its own, and those of its carriers */

/* -- flows.c: packets to flows ---------------------------------------------------------------------------------------------- */

enum { HW_CONNS_ROOM = 4096 }; /* rows of each kind that there is room for */
struct hw_found {
	void *conns;		/* struct hw_conn: flows that are over */
	void *longs;		/* struct hw_conn: of flows that go on, what they are till now */
	void *tunnels;		/* struct hw_tunnel_row */
	void *servers;		/* struct hw_server: of one second, as many as are told, and one */
	void *weirds;		/* struct hw_weird_row; HW_WEIRDS_ROOM of them */
	uint64_t *left;		/* hashes of flows that are over, where hw_flows_tell_left() asked for them */
	uint32_t *conn_streams; /* of each row of conns and longs, the number of its stream or HW_NO_STREAM; where they are followed */
	uint32_t *long_streams;
	size_t conn_count;
	size_t long_count;
	size_t tunnel_count;
	size_t server_count;
	size_t weird_count;
	size_t left_count;
};
/* The octets of a packet's payload that were captured; none of a row that only stands for what carries a packet. */
struct hw_payload {
	const uint8_t *octets;
	uint32_t length;
	uint32_t frame; /* that it came in, by its number in the capture */
};
struct hw_pick { /* a frame with a packet of the flow that has the uid of this number */
	uint32_t frame;
	uint32_t uid;
};
struct hw_prefix {
	uint8_t addr[16];
	uint32_t bits; /* of 128 */
};
struct hw_flows_counts {
	/* what became of the rows given: one of these each */
	uint64_t in_flow;
	uint64_t no_flow;   /* neither IP nor a whole transport header, or an IP packet that only carries another */
	uint64_t fragments; /* of a datagram that is not whole with it, or carried by such a one */
	uint64_t damaged;   /* a wrong checksum: a letter of its flow's history, and nothing else */
	uint64_t sampled_out;
	uint64_t duplicate_hook; /* its flow has it from another place */
	uint64_t no_memory;
	/* of fragments, those of datagrams that are not whole: */
	uint64_t fragments_waiting;
	uint64_t fragments_given_up;
	/* flows */
	uint64_t begun;
	uint64_t ended;
	uint64_t evicted;	/* of these, for want of room */
	uint64_t unasked;	/* of these, rows that the filter of flows leaves out; those that the kernel tells of included */
	uint64_t flows;		/* at present */
	uint64_t only_carrying; /* addresses between which IP carries IP, at present */
	uint64_t letters_lost;	/* letters and parts of streams for which a flow had no room */
	uint64_t latest;	/* time of a packet */
	uint64_t octets;	/* memory that the table of flows takes; it grows with the most flows there were, and not with time */
};
struct hw_flows;
/* `settings` is a struct hw_flow_settings; `local`, which addresses are local. NULL without memory. */
struct hw_flows *hw_flows_new(const void *settings, const struct hw_prefix *local, size_t local_count);
void hw_flows_free(struct hw_flows *);
/* Before any packet: tell what `most` servers do in each second, and what all others do. -1 without memory. */
int hw_flows_tell_servers(struct hw_flows *, uint32_t most);
/* Before any packet: these flows found no room in the kernel's table, which has that salt. */
void hw_flows_tell_left(struct hw_flows *, const void *salt);
/* Connections whose originator is known, each a struct hw_packet that it has sent: what finds it in the kernel's hw_flow_known, whose table
 * has that salt, and what it finds. */
void hw_flow_known_of(const void *rows, size_t count, const void *salt, uint64_t *hashes, uint64_t *origs);
/* Before any packet: these were there before us. -1 without memory. */
int hw_flows_know(struct hw_flows *, const void *rows, size_t count);
/* From now on a packet may be seen at several places, and counts at one. -1 without memory. */
int hw_flows_overlap(struct hw_flows *);
/*
 * From now on, flows become rows of conn and conn_long if this struct hw_filter keeps them (bpf/flow_asked.h). What the kernel tells says in
 * which place, 0 or 1, it had the filter that was in force; that of the other place stays.
 */
void hw_flows_ask(struct hw_flows *, const void *filter, int place);
/*
 * Before any packet: `count` processes are given the same packets, with tables of one salt, and this is the one of that number. Rows of flows
 * and tunnels, and what flows carry, are told of its share alone: by the two addresses, and of DHCP, which joins flows of several, the first's.
 */
void hw_flows_share(struct hw_flows *, uint32_t number, uint32_t count);
/* Before any packet: follow what flows carry, `most` at a time; what comes before its turn takes `waiting` octets at most. -1 without memory. */
int hw_flows_follow(struct hw_flows *, uint32_t most, size_t waiting);
/* Before any packet: which frames have packets of these flows, errors of ICMP about them, and what they carry, is to be told. -1 without
 * memory. */
int hw_flows_pick(struct hw_flows *, const void *uids, uint32_t count);
/* Those since the last time, in no order; -1 if there was no memory for one. Good until packets are added. */
int64_t hw_flows_picked(struct hw_flows *, const struct hw_pick **picks);
/* Of the rows that hw_flows_add() is given next, what they carry, one each; NULL: not known. */
void hw_flows_carry(struct hw_flows *, const struct hw_payload *payloads);
/* Takes packets until there is hardly room for rows. Returns how many it took. Interfaces count from `interface`. */
size_t hw_flows_add(struct hw_flows *, const void *rows, size_t stride, size_t count, uint32_t interface, struct hw_found *);
/* The same of packets for which the kernel has no room, each a struct hw_deferred. */
size_t hw_flows_add_refused(struct hw_flows *, const void *rows, size_t stride, size_t count, uint32_t interface, struct hw_found *);
/* Ends those whose time has come, a room's worth a call. Returns 1 if there may be more. */
int hw_flows_expire(struct hw_flows *, uint64_t now, struct hw_found *);
/* Ends all that are left, likewise. */
int hw_flows_end(struct hw_flows *, struct hw_found *);
void hw_flows_counts_of(const struct hw_flows *, struct hw_flows_counts *into);

/* -- streams.c: what flows carry ------------------------------------------------------------------------------------------------- */

#define HW_NO_STREAM 0xffffffff
enum hw_run_kind {
	HW_RUN_begin,	 /* `octets` is the place of its struct hw_stream_begin */
	HW_RUN_data,	 /* of a TCP side, in order, from several segments perhaps */
	HW_RUN_datagram, /* the payload of one */
	HW_RUN_gap,	 /* so many `octets` were never seen */
	HW_RUN_end,	 /* all that the side will send has come */
	HW_RUN_flip,	 /* who seemed to answer had begun: the sides change places */
	HW_RUN_differs,	 /* a segment has other octets than one that waits in its place */
	HW_RUN_over,	 /* the flow is: its number will be another's */
};
struct hw_run {
	uint64_t ts;	 /* of the first packet that it is of */
	uint64_t octets; /* how many */
	uint32_t at;	 /* where they begin in hw_runs.octets */
	uint32_t stream; /* a number that others get when it is over */
	uint32_t marks;	 /* of several segments, where the first of hw_runs.marks is */
	uint16_t mark_count;
	uint8_t kind;
	uint8_t side; /* 0: the originator's */
};
struct hw_mark { /* a segment in a run */
	uint64_t at;
	uint64_t ts;
};
struct hw_stream_begin {
	uint64_t ts; /* of the flow's first packet */
	uint8_t uid[12];
	uint8_t orig[16];
	uint8_t resp[16];
	uint16_t orig_port;
	uint16_t resp_port;
	uint16_t proto;
	uint16_t partial; /* TCP: neither a SYN nor its answer was seen */
	uint32_t network; /* from here to the responder and back, nanoseconds; 0: that could not be measured */
};
struct hw_runs { /* good until packets are added */
	struct hw_run *runs;
	struct hw_mark *marks;
	struct hw_stream_begin *begun;
	uint8_t *octets;
	size_t run_count;
	size_t mark_count;
	size_t begun_count;
	size_t octet_count;
};
struct hw_streams_counts {
	uint64_t streams; /* at present */
	/* octets: carried = read + unwanted + again + cut + unread + waiting + no_room + no_stream */
	uint64_t carried;   /* by packets of flows, as far as they were captured */
	uint64_t read;	    /* handed out */
	uint64_t unwanted;  /* nobody reads that side any more */
	uint64_t again;	    /* they had come before */
	uint64_t cut;	    /* of TCP segments that were not captured whole */
	uint64_t unread;    /* it was never their turn, or the flow had been given up */
	uint64_t waiting;   /* for their turn, at present */
	uint64_t no_room;   /* they found no room to wait in, and are a gap */
	uint64_t no_stream; /* there are too many streams */
};
/* What came since packets were added last, stream by stream. -1 without memory: then all of it is lost. */
int hw_flows_runs(struct hw_flows *, struct hw_runs *into);
/*
 * Live, where the kernel keeps flows: `most` octets of a side are wanted, beginning so many `ahead` of what has come, once those have come that
 * were wanted before; of what lies before and behind them, user space is told when they come to be wanted, or as a gap. UINT32_MAX are all.
 */
void hw_flows_budget(struct hw_flows *, uint32_t stream, int side, uint64_t ahead, uint32_t most);
/* Whether octets of a side are wanted from now on: bit 0 the originator's, bit 1 the responder's. */
void hw_flows_want(struct hw_flows *, uint32_t stream, uint32_t sides);
void hw_flows_streams_counts(const struct hw_flows *, struct hw_streams_counts *into);

/* -- seconds.c: what the kernel counts of servers ------------------------------------------------------------------------------ */

struct hw_seconds;
/* Rows of `most` servers, and one of what all others do. NULL without memory. */
struct hw_seconds *hw_seconds_new(uint32_t most);
void hw_seconds_free(struct hw_seconds *);
/* What one CPU has counted in that many slots, the last of which is of what found no room; they are emptied. */
void hw_seconds_take(struct hw_seconds *, void *slots, size_t count);
/* The rows of the second that began at `ts`, struct hw_server; there must be room for `most` + 1. Returns how many. */
uint32_t hw_seconds_put(struct hw_seconds *, uint64_t ts, void *rows);

/* -- flow_events.c: what the kernel's table of flows tells ------------------------------------------------------------------ */

size_t hw_flow_event_octets(void); /* of a struct hw_flow_event */
/* As hw_flows_add, of such events. The flows that are told of do not lie in the table of `flows`. */
size_t hw_flows_hear(struct hw_flows *flows, const void *events, size_t stride, size_t count, uint32_t interface, struct hw_found *);

size_t hw_carried_octets(void); /* of a struct hw_carried */
/* The memory (struct hw_wants) where the kernel looks what is wanted of the flow in each of `count` entries of its table. -1 without memory. */
int hw_flows_hear_of(struct hw_flows *flows, void *wants, uint32_t count);
/* As hw_flows_add, of what flows in the kernel's table carry: each a struct hw_carried, and its octets those of hw_flows_carry(). */
size_t hw_flows_hear_carried(struct hw_flows *flows, const void *carried, size_t stride, size_t count, uint32_t interface,
			     struct hw_found *);

/* -- flow_frames.c: frames with datagrams in pieces, for that table --------------------------------------------------------- */

struct hw_frames;
/* Remembers about so many datagrams; `apart` as in struct hw_flow_settings. NULL without memory. */
struct hw_frames *hw_frames_new(uint32_t datagrams, uint32_t apart);
void hw_frames_free(struct hw_frames *);
size_t hw_frames_octets(void); /* of a struct hw_parser */
/* From now on rows come with what they carry. */
void hw_frames_keep(struct hw_frames *);
/*
 * Takes the next frame of rows, an array of struct hw_deferred, and what they carry, or NULL. Returns how many rows it took; 0 if its end is
 * not there. `ready`: `into`, a struct hw_parser, is to be handed to the kernel; `headers` there: `payload`, good until the next call, is what
 * it carries. What is odd in a row is written there.
 */
size_t hw_frames_take(struct hw_frames *, void *rows, const struct hw_payload *payloads, size_t count, void *into,
		      struct hw_payload *payload, int *ready);

/* -- ring.c: a BPF ring buffer read as an array --------------------------------------------------------------------------- */

/* How many whole records of `record` octets (8 octets of header included) can be read from `position`; at most `most`. */
size_t hw_ring_ready(const void *producer, const void *data, uint64_t mask, uint64_t position, size_t record, size_t most);
/*
 * Of a ring whose records have a head of `head` octets, and any number behind it: the heads, one after another, and where the octets behind
 * them lie, good until they are released. From *position on, and not beyond `end`. Returns how many, `most` at most.
 */
size_t hw_ring_read(const void *data, uint64_t mask, uint64_t *position, uint64_t end, size_t head, void *heads, struct hw_payload *rest,
		    size_t most);
/* Where the next record will be made. */
uint64_t hw_ring_end(const void *producer);
uint64_t hw_ring_position(const void *consumer);
void hw_ring_release(void *consumer, uint64_t position);

/* -- pcapng_writer.c: the packets that a reader below keeps, as pcapng in memory, for who writes it away --------------------- */

struct hw_pcapng_writer;
/* Begins with a section header that names `application`. With `headers_only` packets are cut behind their headers. NULL without memory. */
struct hw_pcapng_writer *hw_pcapng_writer_new(const char *application, int headers_only);
void hw_pcapng_writer_free(struct hw_pcapng_writer *);
/* Describe an interface. Returns its number, or -1 without memory. */
int64_t hw_pcapng_writer_interface(struct hw_pcapng_writer *, const char *name, uint16_t link_type);
/* Whether there may be no room for a further packet: readers stop before it. */
int hw_pcapng_writer_full(const struct hw_pcapng_writer *);
/* What was not written away yet. */
const void *hw_pcapng_writer_octets(const struct hw_pcapng_writer *, size_t *size);
/* How many of its first `most` octets are whole blocks. */
size_t hw_pcapng_writer_part(const struct hw_pcapng_writer *, size_t most);
/* The first `octets` are written. */
void hw_pcapng_writer_wrote(struct hw_pcapng_writer *, size_t octets);
/* The packets cannot be written: forget them, and let the next one of each interface tell how many. Interfaces stay. Returns how many. */
uint64_t hw_pcapng_writer_drop(struct hw_pcapng_writer *);
/* The last blocks: what each interface received and lost. Their octets are those of end_room. */
void hw_pcapng_writer_end(struct hw_pcapng_writer *);
size_t hw_pcapng_writer_end_room(const struct hw_pcapng_writer *);
/* Packets taken, and those of them that were written. */
uint64_t hw_pcapng_writer_made(const struct hw_pcapng_writer *);
uint64_t hw_pcapng_writer_written(const struct hw_pcapng_writer *);

/* -- capture.c, pcap.c, pcapng.c: captures to rows -------------------------------------------------------------------------- */

enum { HW_CAPTURE_LARGEST = 2097152 }; /* octets: what is decoded lies in one piece, and no piece is larger than this */

enum hw_capture_status {
	HW_CAPTURE_more,      /* all of data that forms whole blocks is read: give what follows `consumed` and more behind it */
	HW_CAPTURE_full,      /* rows is full, or the writer: call again with what follows `consumed` */
	HW_CAPTURE_bad,	      /* not a capture, or broken here: hw_capture_problem says how. Rows before it are good */
	HW_CAPTURE_described, /* an interface was, and the filter asks for it: hw_capture_call it, choose, and call again as above */
};
struct hw_capture_counts { /* seen + further = as_row + filtered + sampled_out + unknown_link_type + no_interface */
	uint64_t seen;
	uint64_t as_row;
	uint64_t filtered;
	uint64_t sampled_out;
	uint64_t unknown_link_type;
	uint64_t no_interface;
	uint64_t lost_before; /* what the capturing side says that it lost: not part of seen */
	uint64_t further;     /* packets behind the first one of a frame (A-MSDU), each as good as a frame of its own */
	uint64_t carriers;    /* rows of what carries packets, in addition */
};
struct hw_capture;
struct hw_capture *hw_capture_new(void);
void hw_capture_free(struct hw_capture *);
/* Which packets become rows: a struct hw_filter, and as in struct hw_control. */
void hw_capture_choose(struct hw_capture *, const void *filter, uint64_t sample_below, int names_interfaces);
/* What the filter sees as the interface's number: that of the first one of the same name. */
void hw_capture_call(struct hw_capture *, uint32_t index, uint32_t number);
/* These packets go to `writer` as well. Its interfaces without a name are called `unnamed`, which is kept by the caller. */
void hw_capture_write(struct hw_capture *, struct hw_pcapng_writer *, const char *unnamed);
/* Frames are numbered from `before` + 1 on. Unless `frames` is NULL, only those `count` are wanted, which rise; the caller keeps them. */
void hw_capture_number(struct hw_capture *, uint32_t before, const uint32_t *frames, size_t count);
/* From now on, what carries a tunnelled packet comes as a row before it, of 0 segments. */
void hw_capture_carry(struct hw_capture *);
/* From now on, wrong checksums of packets that were captured whole are weirds of theirs. */
void hw_capture_verify(struct hw_capture *);
/* The next rows' payloads go to `payloads`, one each, and lie in `octets`: room for a batch, which is full where there is none for a packet. */
void hw_capture_keep(struct hw_capture *, struct hw_payload *payloads, void *octets, size_t room);
enum { HW_CAPTURE_PACKET_OCTETS = 262144 }; /* that a packet may have in a file: libpcap's MAXIMUM_SNAPLEN */
/* How much of that room is left. */
size_t hw_capture_room(const struct hw_capture *);
enum hw_capture_status hw_capture_decode(struct hw_capture *, const void *data, size_t size, void *rows, size_t stride, size_t capacity,
					 size_t *made, size_t *consumed);
/* No more input, and `left` octets were not consumed: 0 if the capture ends at a block's end and each packet is a row, else -1 and a
 * problem. */
int hw_capture_finish(struct hw_capture *, const void *data, size_t left);
/* What is wrong, to be read behind the capture's name: "is cut off after packet 7 (byte 812)". */
const char *hw_capture_problem(const struct hw_capture *);
uint32_t hw_capture_interfaces(const struct hw_capture *);
/* As the file has it, at most 63 octets of any kind; empty in pcap, which has no names. */
const char *hw_capture_interface_name(const struct hw_capture *, uint32_t index);
void hw_capture_counts_of(const struct hw_capture *, struct hw_capture_counts *into);

/* -- af_packet.c: a TPACKET_V3 ring to rows --------------------------------------------------------------------------------- */

struct hw_af_packet_counts {
	uint64_t seen; /* tp_packets: what the kernel offered, dropped ones included */
	uint64_t as_row;
	uint64_t carriers; /* rows of what carries packets, in addition */
	uint64_t filtered;
	uint64_t sampled_out;
	uint64_t counted_only;
	uint64_t octets;
	uint64_t segments;
	uint64_t ring_full;
};
struct hw_af_packet;
/* Map and bind a packet socket, which becomes its own; nothing is taken before it is started. Returns NULL, the socket closed, and sets errno.
 * `ip` is 1 for a device without a link-layer header. */
struct hw_af_packet *hw_af_packet_open(int fd, uint32_t ifindex, int ip, size_t ring_octets, int inbound_only, int promiscuous);
/* Share the packets with `first`, or be the first (NULL), before any of them is started. -1 and errno; in both, as in start. */
int hw_af_packet_join(struct hw_af_packet *, const struct hw_af_packet *first);
/* With `whole` the ring holds all of each packet, as far as a block does, and else what the parser looks at. */
int hw_af_packet_start(struct hw_af_packet *, int whole);
void hw_af_packet_close(struct hw_af_packet *);
int hw_af_packet_give_back(struct hw_af_packet *); /* close all but the socket, if it can serve again: returns that, or -1 */
int hw_af_packet_fd(const struct hw_af_packet *);
/* Packets that become rows go to `writer` as well, as its interface `number`. Not while a read is under way. */
void hw_af_packet_write(struct hw_af_packet *, struct hw_pcapng_writer *, uint32_t number);
/* As hw_capture_carry; before it is started. */
void hw_af_packet_carry(struct hw_af_packet *);
/* An IP packet that is longer counts as several segments. Not while a read is under way. */
void hw_af_packet_mtu(struct hw_af_packet *, uint32_t mtu);
/* As hw_capture_choose. Not while a read is under way. */
void hw_af_packet_choose(struct hw_af_packet *, const void *filter, uint64_t sample_below, int rates_only);
/* 0 once the interface was deleted or left this network namespace: nothing will come any more. */
int hw_af_packet_bound(const struct hw_af_packet *);
struct hw_af_packet_room { /* for rows, and for what they carry, one each, as far as it was captured */
	void *rows;
	size_t stride;
	size_t capacity;
	struct hw_payload *payloads; /* or NULL: nothing of it */
	uint8_t *octets;
	size_t octet_room; /* of which a packet needs no more than 256 KiB */
};
/*
 * Rows of what has arrived in all these rings, in the order of time, as far as there is room for them and in the writer; never waits. Nothing
 * that came after `until` is read yet, but where a ring is half full: what was before that may be in a block of another that the kernel
 * still fills. Returns how many rows.
 */
size_t hw_af_packet_read(struct hw_af_packet *const *rings, size_t count, uint64_t until, const struct hw_af_packet_room *,
			 struct hw_rollup *rates);
/* Take nothing more from the kernel: once seen equals as_row and ring_full together, all that the ring held is read. */
void hw_af_packet_stop(struct hw_af_packet *);
void hw_af_packet_counts_of(struct hw_af_packet *, struct hw_af_packet_counts *into);

/* -- system.c: calls that Python 3.11 has no name for ------------------------------------------------------------------------ */

/* Reserve room behind the end of a file without changing its length, so that a full disk is met before a write, not in it. -1, errno. */
int hw_reserve(int fd, int64_t offset, int64_t length);
int hw_unshare_net(void);
int hw_enter_net(int fd);
int hw_die_with_parent(void);

/* -- aes.c: what anybody can open ---------------------------------------------------------------------------------------------- */

/* One block of 16 octets with a key of 16. */
void hw_aes128(const uint8_t *key, const uint8_t *in, uint8_t *out);
/* `octets`, `length` with the tag of 16 at their end, to `out`: -1 if the tag is not that of them and of what was sent `beside` them. A nonce
 * has 12 octets. */
int hw_aes128_gcm_open(const uint8_t *key, const uint8_t *nonce, const uint8_t *beside, size_t beside_length, const uint8_t *octets,
		       size_t length, uint8_t *out);

/* -- confine.c: privileges given away for good. Each returns 0, or -1 and errno ------------------------------------------------ */

/* `keep` is a set of capabilities, a bit for each. */
int hw_bound_capabilities(uint64_t keep); /* that no program that is executed gains others */
int hw_drop_capabilities(uint64_t keep);  /* of this thread; all of those of the process lose them with hw_become from root */
int hw_become(uint32_t user, uint32_t group, int keep_capabilities);
int hw_no_new_privileges(void);
/* From now on, of all files only those below `readable` can be read, and those below `writable` written; folders below `listable`, if that is
 * not -1, can be listed. Descriptors of paths. `made` is what can be made below `writable`. */
enum hw_made { HW_MAKE_FILES, HW_MAKE_FOLDERS, HW_MAKE_ANYTHING };
int hw_landlock(const int *readable, size_t readables, const int *writable, size_t writables, int listable, enum hw_made made);
/* What may be allowed besides: to have programs timed; every use of eBPF; instead of a sensor's calls those of an engine of tables. */
enum hw_allow { HW_ALLOW_BPF_STATS = 1, HW_ALLOW_BPF = 2, HW_ALLOW_ENGINE = 4 };
int hw_seccomp(int allowed);   /* for all threads */
int hw_landlock_version(void); /* 0: this kernel has none */
/*end*/

#endif
