/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers give to pcapng_writer.c. */
#ifndef HW_PCAPNG_WRITER_H
#define HW_PCAPNG_WRITER_H

#include "headwater.h"

/* One packet. `flags` are those of pcapng's epb_flags; a tag with `tpid` (0: none) and `tci` was taken out behind the addresses. */
struct hw_pcapng_packet {
	const uint8_t *frame;
	uint32_t captured;
	uint32_t length;
	uint64_t ts;	  /* UTC nanoseconds */
	uint32_t headers; /* as in struct hw_parser */
	uint32_t flags;
	uint16_t tpid;
	uint16_t tci;
};

/* The writer is not full. */
void hw_pcapng_writer_put(struct hw_pcapng_writer *, uint32_t number, const struct hw_pcapng_packet *);
/* A packet was received, whether it is kept or not. */
void hw_pcapng_writer_received(struct hw_pcapng_writer *, uint32_t number);
/* So many packets more were lost, and so many of them between the last packet and the next. */
void hw_pcapng_writer_lost(struct hw_pcapng_writer *, uint32_t number, uint64_t lost, uint64_t before_next);

#endif
