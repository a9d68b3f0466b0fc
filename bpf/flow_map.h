/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Where flows lie in the kernel: a hash table made of arrays (docs/adr/0013). Expiry goes on where it stopped, an entry never moves, and no
 * element is used anew behind the back of another CPU.
 *
 * A bucket has HW_WAYS ways, and an entry for each. The tag of a way is a part of its key's hash, and at most one way of a bucket has it: it
 * is taken under the bucket's lock, and given back under the entry's, with the entry. So a program that has the entry's lock knows by the
 * two tags:
 *
 *   the way has another tag than mine   it is not (or no more) of my flow
 *   mine, and the entry is free         taken a moment ago: who comes first begins the flow
 *   mine, and the entry has another     taken a moment ago from a flow that nobody answered: who comes first ends that one, and begins mine
 *   mine, and the entry has mine        my flow, or in one case of 2^32 another of the same tag
 */
#ifndef HW_FLOW_MAP_H
#define HW_FLOW_MAP_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "flow_hash.h"
#include "flow_lock.h"
#include "flow_place.h"

#define HW_WAYS 32
#define HW_TICK_SHIFT 20	  /* a tick is 2^20 ns, a millisecond; 32 bits of them come around after 52 days */
#define HW_DUE_SHIFT 26		  /* likewise, 67 ms and nine years */
#define HW_DUE_AHEAD (1ull << 56) /* how far ahead such a time may be, nanoseconds: two years */

struct hw_flow_bucket {
	__u32 lock;
	__u32 tags[HW_WAYS];  /* 0: free */
	__u32 begun[HW_WAYS]; /* ticks */
	__u32 dues[HW_WAYS];  /* in units of 67 ms: by then the flow does not end yet */
	__u8 stays[HW_WAYS];  /* 1: it is answered, and makes no room for another */
};

/* What each packet touches comes first. */
struct hw_flow_entry {
	__u32 lock;
	__u32 tag;    /* 0: free */
	hw_ktime due; /* by then it does not end yet */
	struct hw_flow_key key;
	__u8 orig;		/* which of the key's endpoints is the originator */
	__u8 tunnel;		/* enum hw_tunnel: it carries others, and that was told */
	__u8 only_carries;	/* addresses between which IP carries IP: no flow of its own */
	__u8 is_named;		/* `uid` is set */
	__u8 is_rare;		/* `rare` is */
	__u8 phase;		/* enum hw_phase, where seconds of servers are counted (flow_seconds.h), */
	__u8 is_half_elsewhere; /* that it is half open is counted among what found no room, */
	__u8 counted;		/* and for which originator it is: one more than `orig` */
	__u32 interface;
	__u32 again;  /* flows of this key that began at the same time before it */
	__u32 told;   /* its packets when its progress was reported, the lower 32 bits */
	__u32 resent; /* and so many packets that were sent again are */
	struct hw_flow flow;
	struct hw_flow_sights sights[2]; /* of the key's first endpoint, and of the second */
	__u8 uid[12];
	struct hw_rare rare;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_flow_bucket);
} hw_flow_buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HW_WAYS);
	__type(key, __u32);
	__type(value, struct hw_flow_entry);
} hw_flow_entries SEC(".maps");

/* By the hash of a key. */
struct hw_flow_words {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
};

/*
 * Hashes of keys whose flows found no room, and when these began: user space keeps them, from their first packet to their end, when it takes
 * the hash out. So a flow does not come to lie in two places.
 */
struct hw_flow_words hw_flow_elsewhere SEC(".maps");

/*
 * Connections that were there before, by the hash of their key (without `apart`): which of its endpoints is the originator. User space
 * fills it in from the kernel's own sockets.
 */
struct hw_flow_words hw_flow_known SEC(".maps");

HW_INLINE int hw_flow_key_is(const struct hw_flow_key *one, const struct hw_flow_key *other)
{
	const __u64 *a = (const __u64 *)one, *b = (const __u64 *)other;
	__u64 apart = one->apart[2] ^ other->apart[2];
	int i;

	HW_UNROLL
	for (i = 0; i < 6; i++)
		apart |= a[i] ^ b[i];
	return !apart;
}

/* 1 if the words are equal. Without a branch, of which each would be another path for the verifier. */
HW_INLINE __u64 hw_flow_tag_is(__u32 one, __u32 other)
{
	__u64 apart = one ^ other;

	HW_OPAQUE(apart);
	return (apart - 1) >> 63;
}

/* A bit for each way that has the tag. */
HW_INLINE __u32 hw_flow_ways(const struct hw_flow_bucket *bucket, __u32 tag)
{
	__u64 ways = 0;
	int i;

	HW_UNROLL
	for (i = 0; i < HW_WAYS; i++)
		ways |= hw_flow_tag_is(bucket->tags[i], tag) << i;
	return ways;
}

/* The number of the lowest bit. */
HW_INLINE __u32 hw_lowest_bit(__u32 bits)
{
	bits = (bits & -bits) - 1;
	bits -= bits >> 1 & 0x55555555;
	bits = (bits & 0x33333333) + (bits >> 2 & 0x33333333);
	bits = (bits + (bits >> 4)) & 0x0f0f0f0f;
	return (bits * 0x01010101 >> 24) & (HW_WAYS - 1);
}

HW_INLINE __u32 hw_ticks(hw_ktime time)
{
	return time >> HW_TICK_SHIFT;
}

/* The way of the oldest flow that nobody has answered, or HW_WAYS. */
HW_INLINE __u32 hw_flow_oldest(const struct hw_flow_bucket *bucket, __u32 now)
{
	__u64 oldest = HW_WAYS, one, more;
	__s32 age;
	int i;

	HW_UNROLL
	for (i = 0; i < HW_WAYS; i++) { /* the age, and then the way; without branches, as above */
		age = now - bucket->begun[i];
		age &= ~(age >> 31); /* another CPU's clock */
		one = ((age + 1ull) << 6 | i) * (bucket->stays[i] ^ 1);
		more = (__s64)(oldest - one) >> 63;
		HW_OPAQUE(more);
		oldest ^= (oldest ^ one) & more;
	}
	return oldest & (2 * HW_WAYS - 1);
}

#define HW_NO_WAY (2 * HW_WAYS) /* another CPU was in the way */

/* The way of that tag, or one taken for it: the `wanted`, if that is free. HW_WAYS where all are of flows that stay, or HW_NO_WAY. */
HW_INLINE __u32 hw_flow_reserve(struct hw_flow_bucket *bucket, __u32 tag, __u32 wanted, hw_ktime time)
{
	__u32 ways, way = HW_WAYS, now = hw_ticks(time), due = time >> HW_DUE_SHIFT;

	if (!hw_lock(&bucket->lock))
		return HW_NO_WAY;
	ways = hw_flow_ways(bucket, tag);
	if (ways) {
		way = hw_lowest_bit(ways);
	} else {
		ways = hw_flow_ways(bucket, 0);
		if (!ways)
			way = hw_flow_oldest(bucket, now);
		else
			way = ways >> wanted & 1 ? wanted : hw_lowest_bit(ways);
		HW_OPAQUE(way);
		if (way < HW_WAYS) {
			bucket->tags[way] = tag;
			bucket->begun[way] = now;
			bucket->dues[way] = due;
			bucket->stays[way] = 0;
		}
	}
	hw_unlock(&bucket->lock);
	return way;
}

#endif
