/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What flows carry, of packets in any order: nothing is read or written where it should not be, the sum of octets comes out, and each octet
 * that is handed out is that of its place. An input is packets of a few flows, ten octets each (struct step). An octet is the low one of
 * its sequence number, so that what follows what can be told without a model.
 */
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow.h"
#include "headwater.h"

#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

#include "rows.h"

#define MOST 8	     /* streams: fewer than there may be flows */
#define WAITING 4096 /* octets */
#define AT_ONCE 16   /* packets */
#define LONGEST 2048
#define FLOWS 12

struct step {
	uint8_t flow;	/* below FLOWS; the highest bit is the side */
	uint8_t flags;	/* of TCP; the three highest: fragments of UDP, a payload that was cut, and what carries the next packet */
	uint8_t at[2];	/* behind the side's first sequence number */
	uint8_t ack[2]; /* likewise, of the other side */
	uint8_t length[2];
	uint8_t later; /* milliseconds */
	uint8_t wants; /* after this batch: a stream, and the sides of it that are still wanted, if it is the batch's last */
};

struct reader { /* of a side of a stream */
	int begun;
	uint8_t next;
};

static struct reader readers[MOST][2];
static int begun[MOST], carries_tcp[MOST];
static int carries;		/* the packet before: this one is of UDP, whose octets nobody compares */
static uint8_t spoke[FLOWS][2]; /* a SYN later than a side's first packet begins its numbers anew: there are none */

static void read_runs(const struct hw_runs *runs)
{
	for (size_t i = 0; i < runs->run_count; i++) {
		const struct hw_run *run = &runs->runs[i];
		struct reader *reader = &readers[run->stream][run->side];
		const uint8_t *octets = runs->octets ? runs->octets + run->at : NULL;

		REQUIRE(run->stream < MOST && run->side < 2);
		REQUIRE(run->kind == HW_RUN_begin ? !begun[run->stream] : begun[run->stream]);
		switch (run->kind) {
		case HW_RUN_begin:
			REQUIRE(run->octets < runs->begun_count);
			begun[run->stream] = 1;
			carries_tcp[run->stream] = runs->begun[run->octets].proto == 6;
			memset(readers[run->stream], 0, sizeof(readers[0]));
			break;
		case HW_RUN_data:
			REQUIRE(carries_tcp[run->stream] && run->octets && run->mark_count &&
				run->marks + run->mark_count <= runs->mark_count);
			REQUIRE(!runs->marks[run->marks].at && runs->marks[run->marks].ts == run->ts);
			for (uint32_t j = 1; j < run->mark_count; j++)
				REQUIRE(runs->marks[run->marks + j].at > runs->marks[run->marks + j - 1].at &&
					runs->marks[run->marks + j].at < run->octets);
			REQUIRE(run->at + run->octets <= runs->octet_count);
			for (uint64_t j = 0; j < run->octets; j++)
				REQUIRE(octets[j] == (uint8_t)(octets[0] + j));
			REQUIRE(!reader->begun || octets[0] == reader->next);
			reader->begun = 1;
			reader->next = octets[0] + run->octets;
			break;
		case HW_RUN_gap:
			REQUIRE(carries_tcp[run->stream] && run->octets);
			reader->next += run->octets;
			break;
		case HW_RUN_datagram:
			REQUIRE(!carries_tcp[run->stream] && run->octets && run->at + run->octets <= runs->octet_count);
			break;
		case HW_RUN_flip:
			memset(readers[run->stream], 0, sizeof(readers[0]));
			break;
		case HW_RUN_over:
			begun[run->stream] = 0;
			break;
		default:
			REQUIRE(run->kind == HW_RUN_end);
		}
	}
}

static void check_sum(struct hw_flows *flows)
{
	struct hw_streams_counts sum;

	hw_flows_streams_counts(flows, &sum);
	REQUIRE(sum.carried == sum.read + sum.unwanted + sum.again + sum.cut + sum.unread + sum.waiting + sum.no_room + sum.no_stream);
	REQUIRE(sum.waiting <= WAITING && sum.streams <= MOST);
}

static void make(const struct step *step, uint64_t ts, struct hw_packet *row, struct hw_payload *payload)
{
	int flow = (step->flow & 0x7f) % FLOWS, side = step->flow >> 7, is_udp = flow >= FLOWS - 3 || carries;
	uint32_t at = step->at[0] << 8 | step->at[1], length = (step->length[0] << 8 | step->length[1]) % LONGEST;
	uint8_t *octets;

	memset(row, 0, sizeof(*row));
	row->ts = ts;
	row->segments = 1;
	row->has = HW_HAS_addr | HW_HAS_ip | HW_HAS_ipv4 | HW_HAS_ports | HW_HAS_payload | (is_udp ? 0 : HW_HAS_tcp);
	row->ip_version = 4;
	row->proto = is_udp ? 17 : 6;
	memcpy(row->src, (uint8_t[16]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1 + side}, 16);
	memcpy(row->dst, (uint8_t[16]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2 - side}, 16);
	row->sport = side ? 80 : 40000 + flow;
	row->dport = side ? 40000 + flow : 80;
	row->payload_length = length;
	row->ip_length = 20 + (is_udp ? 8 : 20) + length;
	row->length = row->captured = row->ip_length;
	if (is_udp) {
		row->ip_id = at;
		if (step->flags & 0x80) {
			row->mf = step->flags & 1;
			row->fragment_offset = step->ack[1] * 8;
			row->has |= HW_HAS_fragment;
		}
		carries = step->flags & 0x20;
		row->tunnel = carries ? HW_TUNNEL_vxlan : HW_TUNNEL_none;
		row->segments = !carries;
	} else {
		row->tcp_flags = step->flags & 0x1f & (spoke[flow][side] ? ~HW_SYN : ~0);
		spoke[flow][side] = 1;
		row->seq = (side ? 0xfffffe00u : 1000) + at;
		row->ack = (side ? 1000 : 0xfffffe00u) + (step->ack[0] << 8 | step->ack[1]);
	}
	*payload = (struct hw_payload){.octets = NULL, .length = !row->segments ? 0 : step->flags & 0x40 ? length / 2 : length};
	octets = malloc(payload->length + 1); /* of its own, so that what is read behind it is found */
	REQUIRE(octets);
	for (uint32_t i = 0; i < payload->length; i++)
		octets[i] = row->seq + !!(row->tcp_flags & HW_SYN) + i;
	ASAN_POISON_MEMORY_REGION(octets + payload->length, 1);
	payload->octets = octets;
}

static void read_all(struct hw_flows *flows)
{
	struct hw_runs runs;

	REQUIRE(!hw_flows_runs(flows, &runs));
	read_runs(&runs);
	check_sum(flows);
}

static struct hw_found *room(void)
{
	static struct hw_found found;

	if (!found.conns) {
		found.conns = calloc(HW_CONNS_ROOM, sizeof(struct hw_conn));
		found.longs = calloc(HW_CONNS_ROOM, sizeof(struct hw_conn));
		found.tunnels = calloc(HW_CONNS_ROOM, sizeof(struct hw_tunnel_row));
		found.weirds = calloc(HW_WEIRDS_ROOM, sizeof(struct hw_weird_row));
		found.left = calloc(HW_CONNS_ROOM, sizeof(uint64_t));
		found.conn_streams = calloc(HW_CONNS_ROOM, sizeof(uint32_t));
		found.long_streams = calloc(HW_CONNS_ROOM, sizeof(uint32_t));
	}
	return &found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint64_t second = 1000000000;
	struct hw_flow_settings settings = {
		.secret = {1, 2},
		.most = FLOWS,
		.tcp_timeout = 300 * second,
		.handshake_timeout = 60 * second,
		.attempt_timeout = 5 * second,
		.close_timeout = 5 * second,
		.linger_timeout = 5 * second,
		.udp_timeout = 60 * second,
		.dns_timeout = 10 * second,
		.icmp_timeout = 60 * second,
		.other_timeout = 60 * second,
		.tunnel_timeout = 60 * second,
	};
	struct hw_flows *flows = hw_flows_new(&settings, NULL, 0);
	struct hw_packet rows[AT_ONCE];
	struct hw_payload payloads[AT_ONCE];
	struct hw_streams_counts sum;
	uint64_t ts = second;
	size_t count = size / sizeof(struct step);

	REQUIRE(flows && !hw_flows_follow(flows, MOST, WAITING));
	memset(begun, 0, sizeof(begun));
	memset(spoke, 0, sizeof(spoke));
	carries = 0;
	for (size_t at = 0; at < count; at += AT_ONCE) {
		const struct step *step = (const struct step *)data + at;
		size_t some = count - at < AT_ONCE ? count - at : AT_ONCE, taken;

		for (size_t i = 0; i < some; i++)
			make(&step[i], ts += step[i].later * 1000000ull, &rows[i], &payloads[i]);
		for (size_t done = 0; done < some; done += taken) {
			hw_flows_carry(flows, payloads + done);
			taken = hw_flows_add(flows, rows + done, sizeof(*rows), some - done, 0, room());
			read_all(flows);
		}
		for (size_t i = 0; i < some; i++) {
			ASAN_UNPOISON_MEMORY_REGION(payloads[i].octets, payloads[i].length + 1);
			free((void *)payloads[i].octets);
		}
		if (step[some - 1].wants & 0x80 && begun[step[some - 1].wants % MOST])
			hw_flows_want(flows, step[some - 1].wants % MOST, step[some - 1].wants >> 4 & 3);
		check_sum(flows);
	}
	while (hw_flows_end(flows, room()))
		read_all(flows);
	hw_flows_streams_counts(flows, &sum);
	REQUIRE(!sum.waiting);
	for (int i = 0; i < MOST; i++)
		REQUIRE(!begun[i]);
	hw_flows_free(flows);
	return 0;
}

#pragma clang attribute pop
