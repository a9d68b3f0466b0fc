#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "flow.h"
struct value { struct bpf_spin_lock lock; __u32 pad; struct hw_flow flow; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, struct hw_flow_key); __type(value, struct value); } flows SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct hw_packet); } rows SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct hw_flow); } fresh SEC(".maps");
struct hw_flow_timeouts timeouts; char empty[sizeof(struct value)];
SEC("tc") int flow(struct __sk_buff *skb)
{
	__u32 zero = 0; struct hw_flow_key key; struct hw_packet *row = bpf_map_lookup_elem(&rows, &zero); struct value *v; struct hw_flow *n = bpf_map_lookup_elem(&fresh, &zero);
	int second; __u64 d;
	if (!row || !n) return 0;
	second = hw_flow_key(row, &key);
	v = bpf_map_lookup_elem(&flows, &key);
	if (!v) { hw_flow_begin(n, row, second);  bpf_map_update_elem(&flows, &key, empty, BPF_NOEXIST); v = bpf_map_lookup_elem(&flows, &key); if (!v) return 0; bpf_spin_lock(&v->lock); v->flow = *n; bpf_spin_unlock(&v->lock); }
	bpf_spin_lock(&v->lock);
	hw_flow_add(&v->flow, second, row);
	d = hw_flow_deadline(&v->flow, &timeouts);
	bpf_spin_unlock(&v->lock);
	return d & 1;
}
char LICENSE[] SEC("license") = "Dual BSD/GPL";
