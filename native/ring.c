/* SPDX-License-Identifier: Apache-2.0 */
/* The consumer's side of kernel/bpf/ringbuf.c, for rings whose records all have one size. Python has no acquire and release. */
#include <linux/bpf.h>

#include "headwater.h"

size_t hw_ring_ready(const void *producer, const void *data, uint64_t mask, uint64_t position, size_t record, size_t most)
{
	uint64_t made = __atomic_load_n((const uint64_t *)producer, __ATOMIC_ACQUIRE);
	size_t count = (made - position) / record;

	if (count > most)
		count = most;
	for (size_t i = 0; i < count; i++, position += record) {
		const uint32_t *header = (const uint32_t *)((const char *)data + (position & mask));

		if (__atomic_load_n(header, __ATOMIC_ACQUIRE) & BPF_RINGBUF_BUSY_BIT)
			return i;
	}
	return count;
}

uint64_t hw_ring_position(const void *consumer)
{
	return *(const uint64_t *)consumer;
}

void hw_ring_release(void *consumer, uint64_t position)
{
	__atomic_store_n((uint64_t *)consumer, position, __ATOMIC_RELEASE);
}
