/* SPDX-License-Identifier: Apache-2.0 */
/* What capture.c, capture_rows.c, pcap.c and pcapng.c share. */
#ifndef HW_CAPTURE_H
#define HW_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "headwater.h"

#ifndef HW_CAPTURE_PACKET /* a test makes them few */
#define HW_CAPTURE_PACKET HW_CAPTURE_PACKET_OCTETS
#endif
#define HW_CAPTURE_INTERFACES 65536 /* that one capture may describe */

struct hw_parser;

/* A link type of captures. `read` reads its header and says what follows (enum hw_next); NULL where the type has no more than a name. */
struct hw_link_type {
	uint16_t number;
	const char *name;
	int (*read)(struct hw_parser *);
};

/* A described interface; a pcap file has one. Nanoseconds are (units * multiply >> shift) / divide + offset. */
struct hw_capture_interface {
	int (*read)(struct hw_parser *); /* NULL: the link type is not known */
	uint16_t link_type;
	uint32_t called;  /* the number that filters see */
	uint32_t written; /* the writer's number */
	uint64_t multiply;
	uint64_t divide; /* 0: the unit is so short that 64 bits of it are no nanosecond */
	uint8_t shift;
	int64_t offset; /* seconds */
	uint32_t snaplen;
	uint64_t dropped; /* sum of the packets' own drop counts */
	uint64_t lost;	  /* the larger of that and what the interface's statistics say */
	char name[64];
};

/* One call's input and output. */
struct hw_feed {
	const uint8_t *at;
	const uint8_t *begin;
	const uint8_t *end;
	uint8_t *row;
	size_t stride;
	size_t room;		    /* rows */
	struct hw_payload *payload; /* of `row`; NULL: nobody reads it */
	uint8_t *octets;	    /* where payloads are put, */
	size_t octet_room;	    /* and how many octets there is room for */
};

/* A packet as the file describes it. */
struct hw_record {
	const uint8_t *frame;
	uint32_t captured;
	uint32_t length;
	uint64_t time; /* in the interface's units */
	enum hw_direction direction;
	uint32_t flags;	  /* of pcapng */
	uint64_t dropped; /* packets lost before it, as the file says */
	bool untimed;	  /* the file has no time for it: ts is 0, which is none */
};

struct hw_capture {
	enum hw_capture_status (*decode)(struct hw_capture *, struct hw_feed *); /* NULL until the first octets tell the format */
	uint64_t offset;							 /* octets consumed before this call */
	struct hw_capture_counts counts;
	struct hw_capture_interface *interfaces;
	uint32_t described; /* interfaces, over all sections */
	uint16_t unknown;   /* the first link type of a packet that could not be a row */
	uint32_t allocated;
	bool swapped; /* the file's or section's byte order is not ours */

	uint32_t record_header;					   /* pcap: octets before a packet */
	enum { LENGTHS, LENGTHS_SWAPPED, LENGTHS_EITHER } lengths; /* pcap: old writers had them the other way round */

	uint32_t section;  /* pcapng: the section's first interface */
	uint64_t skip;	   /* pcapng: octets of a block that nobody reads, up to its trailing length */
	uint32_t trailer;  /* pcapng: what that length must be; 0 outside such a block */
	uint64_t *skipped; /* pcapng: which count the block adds to once it is whole, or NULL */

	char problem[256];
	struct hw_row_maker *maker;
	bool names_interfaces; /* so does the filter */
	struct hw_feed kept;   /* its payloads' part is the next call's */
	struct hw_pcapng_writer *writer;
	const char *unnamed;
	uint32_t frame;		/* the number of the last one, if the first was 1 more than it is at the begin */
	const uint32_t *picked; /* the next frame that is wanted; NULL: all are */
	size_t picked_count;
};

static inline size_t hw_left(const struct hw_feed *feed)
{
	return (size_t)(feed->end - feed->at);
}

static inline uint16_t hw_get16(const struct hw_capture *capture, const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return capture->swapped ? __builtin_bswap16(value) : value;
}

static inline uint32_t hw_get32(const struct hw_capture *capture, const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return capture->swapped ? __builtin_bswap32(value) : value;
}

/* link.c */
const struct hw_link_type *hw_link_type_find(uint32_t number); /* NULL: one that has no name here */

/* capture.c */
enum hw_capture_status hw_capture_refuse(struct hw_capture *, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum hw_capture_status hw_capture_refuse_at(struct hw_capture *, const struct hw_feed *, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
struct hw_capture_interface *hw_capture_describe(struct hw_capture *); /* a new interface, or NULL and a problem */
enum hw_capture_status hw_capture_described(struct hw_capture *);      /* all is known of it */

/* capture_rows.c */
struct hw_row_maker *hw_row_maker_new(void);
void hw_row_maker_free(struct hw_row_maker *);
/* Rows that found no room, as far as there is room now. Returns whether some are left. */
bool hw_capture_feed_late(struct hw_capture *, struct hw_feed *);
bool hw_capture_has_late(const struct hw_capture *);
/* Whether there may be no room for the rows of one packet, those that wait put first. */
bool hw_capture_is_full(struct hw_capture *, struct hw_feed *);
/* The rows of a packet; and the packet itself, where it is to be written. */
void hw_capture_put(struct hw_capture *, struct hw_feed *, uint32_t interface, const struct hw_record *);

/* pcap.c, pcapng.c */
enum hw_capture_status hw_pcap_decode(struct hw_capture *, struct hw_feed *);
enum hw_capture_status hw_pcapng_decode(struct hw_capture *, struct hw_feed *);

/* What is wrong with a checksum of the innermost packet, in checksum.c. `headers` is where its payload begins, as in struct hw_parser. */
enum hw_weird hw_bad_checksum(const struct hw_packet *row, uint32_t headers, const uint8_t *frame, uint32_t captured);

#endif
