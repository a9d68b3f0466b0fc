/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* How far a flow is, as its server's second counts it (struct hw_server): by packets in user space and in the kernel. */
#ifndef HW_FLOW_PHASE_H
#define HW_FLOW_PHASE_H

#include "flow.h"

enum hw_phase {
	HW_PHASE_new,
	HW_PHASE_unanswered, /* not TCP, and one side was heard */
	HW_PHASE_half_open,  /* TCP: a SYN began it, and the handshake goes on */
	/* what is below is settled */
	HW_PHASE_established,
	HW_PHASE_failed,
	HW_PHASE_unknown, /* TCP whose begin was not seen */
};

/* What becomes of a flow. */
enum hw_news {
	HW_NEWS_begun = 1 << 0,
	HW_NEWS_half_opened = 1 << 1,
	HW_NEWS_established = 1 << 2,
	HW_NEWS_handshake = 1 << 3, /* and it was half open before */
	HW_NEWS_failed = 1 << 4,
	HW_NEWS_refused = 1 << 5,
	HW_NEWS_half_closed = 1 << 6, /* it is not half open any more */
	HW_NEWS_ended = 1 << 7,
};

/* What a packet has made of a flow that is not settled yet. */
HW_INLINE __u32 hw_phase_advance(const struct hw_flow *flow, __u8 *phase)
{
	const struct hw_side *orig = &flow->sides[HW_ORIG], *resp = &flow->sides[HW_RESP];
	__u32 news = 0, now = *phase;

	if (now == HW_PHASE_new) {
		now = flow->proto != HW_PROTO_TCP ? HW_PHASE_unanswered : flow->marks & HW_FLOW_syn ? HW_PHASE_half_open : HW_PHASE_unknown;
		news = HW_NEWS_begun | (now == HW_PHASE_half_open ? HW_NEWS_half_opened : 0);
	}
	if (now == HW_PHASE_unanswered && orig->packets && resp->packets) {
		now = HW_PHASE_established;
		news |= HW_NEWS_established;
	} else if (now == HW_PHASE_half_open && flow->marks & HW_FLOW_acked) {
		now = HW_PHASE_established;
		news |= HW_NEWS_established | HW_NEWS_handshake | HW_NEWS_half_closed;
	} else if (now == HW_PHASE_half_open && (orig->state == HW_TCP_reset || resp->state == HW_TCP_reset)) {
		now = HW_PHASE_failed;
		news |= HW_NEWS_failed | HW_NEWS_half_closed | (resp->state == HW_TCP_reset ? HW_NEWS_refused : 0);
	}
	*phase = now;
	return news;
}

/* What an ICMP error about it makes of a flow. */
HW_INLINE __u32 hw_phase_refuse(__u8 *phase, const struct hw_packet *error)
{
	__u32 half = *phase == HW_PHASE_half_open ? HW_NEWS_half_closed : 0;

	if (error->has & HW_HAS_icmp_mtu) /* something smaller is asked for */
		return 0;
	if (!half && *phase != HW_PHASE_unanswered)
		return 0;
	*phase = HW_PHASE_failed;
	return HW_NEWS_failed | HW_NEWS_refused | half;
}

/* What its end does; `stopped`: it ends only because all does. */
HW_INLINE __u32 hw_phase_finish(__u32 phase, int stopped)
{
	if (phase == HW_PHASE_half_open && !stopped)
		return HW_NEWS_ended | HW_NEWS_failed | HW_NEWS_half_closed;
	return HW_NEWS_ended | (phase == HW_PHASE_new ? HW_NEWS_begun : 0); /* no packet of it was whole */
}

/* Whether a flow shows that somebody serves there. */
HW_INLINE int hw_phase_is_proof(__u32 phase, const struct hw_flow *flow)
{
	const struct hw_side *orig = &flow->sides[HW_ORIG], *resp = &flow->sides[HW_RESP];

	if (phase == HW_PHASE_unknown)
		return orig->packets && resp->packets && orig->state != HW_TCP_reset && resp->state != HW_TCP_reset;
	return phase == HW_PHASE_established;
}

HW_INLINE void hw_count_handshake(struct hw_server *now, const struct hw_flow *flow)
{
	__u64 time = hw_flow_handshake(flow), us = 1000;

	if (!now->handshakes || time < now->handshake_min)
		now->handshake_min = time;
	if (time > now->handshake_max)
		now->handshake_max = time;
	now->handshakes++;
	now->handshake_mean += time; /* the sum, until a row is made */
	now->handshakes_100us += time <= 100 * us;
	now->handshakes_300us += time <= 300 * us;
	now->handshakes_1ms += time <= 1000 * us;
	now->handshakes_3ms += time <= 3000 * us;
	now->handshakes_10ms += time <= 10000 * us;
	now->handshakes_30ms += time <= 30000 * us;
	now->handshakes_100ms += time <= 100000 * us;
	now->handshakes_300ms += time <= 300000 * us;
	now->handshakes_1s += time <= 1000000 * us;
	now->handshakes_3s += time <= 3000000 * us;
}

/* `news` of a flow into the counts of its server's second, but for how many are half open. */
HW_INLINE void hw_count_news(struct hw_server *now, const struct hw_flow *flow, __u32 news)
{
	now->begun += !!(news & HW_NEWS_begun);
	now->established += !!(news & HW_NEWS_established);
	now->failed += !!(news & HW_NEWS_failed);
	now->refused += !!(news & HW_NEWS_refused);
	now->ended += !!(news & HW_NEWS_ended);
	if (news & HW_NEWS_handshake)
		hw_count_handshake(now, flow);
}

/* A packet of the side `which`, of which `again` were sent before. */
HW_INLINE void hw_count_packet(struct hw_server *now, int which, const struct hw_packet *row, __u32 again)
{
	if (which == HW_ORIG) {
		now->orig_pkts++;
		now->orig_ip_bytes += row->ip_length;
		now->orig_retransmits += again;
	} else {
		now->resp_pkts++;
		now->resp_ip_bytes += row->ip_length;
		now->resp_retransmits += again;
	}
}

#endif
