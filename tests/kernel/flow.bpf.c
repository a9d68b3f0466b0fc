// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* bpf/flow.h as a kernel program would call it: on a value of a map, under the lock that lies in it, with no helper while it is held. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "flow.h"

struct value {
	struct bpf_spin_lock lock;
	__u32 second; /* the originator is the key's second endpoint */
	struct hw_flow flow;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct hw_flow_key);
	__type(value, struct value);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_packet);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct value);
} fresh SEC(".maps");

struct hw_flow_settings settings;

/* The packet, and the flow that it is of; its sender is the side `which`. */
HW_INLINE struct value *find(struct hw_packet **packet, struct hw_flow_key *key, int *which)
{
	__u32 zero = 0;
	struct hw_packet *row = *packet = bpf_map_lookup_elem(&rows, &zero);
	struct value *value, *made = bpf_map_lookup_elem(&fresh, &zero);

	if (!row || !made || !hw_flow_is_of(row))
		return 0;
	*which = hw_flow_key(row, key);
	value = bpf_map_lookup_elem(&flows, key);
	if (!value) {
		hw_flow_begin(&made->flow, row, 0);
		made->second = *which;
		bpf_map_update_elem(&flows, key, made, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&flows, key);
	}
	if (value)
		*which ^= value->second & 1;
	return value;
}

SEC("tc")
int flow_add(struct __sk_buff *skb)
{
	struct hw_packet *row;
	struct hw_flow_key key;
	struct value *value;
	int which;

	value = find(&row, &key, &which);
	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	hw_flow_add(&value->flow, which & 1, row);
	bpf_spin_unlock(&value->lock);
	return 0;
}

SEC("tc")
int flow_judge(struct __sk_buff *skb)
{
	struct hw_packet *row;
	struct hw_flow_key key;
	struct value *value;
	__u32 before, odd;
	int which;

	value = find(&row, &key, &which);
	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	before = value->flow.weirds;
	hw_flow_judge(&value->flow, which & 1, row);
	odd = value->flow.weirds & ~before;
	bpf_spin_unlock(&value->lock);
	return odd;
}

SEC("tc")
int flow_look(struct __sk_buff *skb)
{
	struct hw_packet *row;
	struct hw_flow_key key;
	struct value *value;
	hw_ktime deadline;
	int which, reused;

	value = find(&row, &key, &which);
	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	reused = hw_flow_is_reused(&value->flow, which & 1, row) && hw_weird_of_reuse(&value->flow, row, &settings);
	deadline = hw_flow_deadline(&value->flow, key.port[1], &settings);
	bpf_spin_unlock(&value->lock);
	return reused || deadline < row->ts;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
