/* SPDX-License-Identifier: Apache-2.0 */
/* The consumer's side of kernel/bpf/ringbuf.c. Python has no acquire and release. */
#include <linux/bpf.h>

#include <string.h>

#include "headwater.h"

#define HEADER 8 /* octets before each record */

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

uint64_t hw_ring_end(const void *producer)
{
	return __atomic_load_n((const uint64_t *)producer, __ATOMIC_ACQUIRE);
}

size_t hw_ring_read(const void *data, uint64_t mask, uint64_t *position, uint64_t end, size_t head, void *heads, struct hw_payload *rest,
		    size_t most)
{
	char *into = heads;
	size_t i;

	for (i = 0; i < most && *position < end; i++, into += head) {
		const char *at = (const char *)data + (*position & mask);
		uint32_t octets = __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE);

		if (octets & BPF_RINGBUF_BUSY_BIT)
			return i;
		memcpy(into, at + HEADER, head);
		rest[i] = (struct hw_payload){.octets = (const uint8_t *)at + HEADER + head, .length = octets - head};
		*position += (octets + HEADER + 7) & ~7ull;
	}
	return i;
}

uint64_t hw_ring_position(const void *consumer)
{
	return *(const uint64_t *)consumer;
}

void hw_ring_release(void *consumer, uint64_t position)
{
	__atomic_store_n((uint64_t *)consumer, position, __ATOMIC_RELEASE);
}
