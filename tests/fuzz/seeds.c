/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first frames of each capture that is named on standard input, as inputs of fuzz_packet.c in the folder PACKET and of fuzz_link.c in
 * LINK. Link types that none of them has are made of others' frames; one that is read and has no seed is an error.
 */
#include "../parity/frames.h"

#include "capture.h"
#include "frame.h"

#define OF_TYPE 100  /* of each link type: Ethernet would be nearly all */
#define OF_CAPTURE 4 /* frames of each capture */
#define OF_MADE 32   /* of each type that is made, and each type that it is made of */
#define LONGEST 400

/* What goes before a frame of type `of` to make one of `type`: `head`, and zeros up to `size` octets. */
static const struct made {
	uint16_t type, of, size;
	char head[8];
} MADE[] = {
	{12, 101, 0, ""},
	{14, 101, 0, ""},
	{51, 101, 8, "\x11\0\0\1\5\xdc\0\x21"}, /* PPPoE: a session, a length, IPv4 in PPP */
	{108, 0, 0, ""},
	{117, 101, 64, "\x3d\2"},		    /* 61 octets, and padding */
	{119, 105, 144, "\x44\0\0\0\x90\0\0\0"},    /* Prism */
	{163, 105, 64, "\x80\x21\x10\1\0\0\0\x40"}, /* AVS */
	{166, 9, 1, "\0"},			    /* received */
	{192, 1, 8, "\0\0\x8\0\1\0\0\0"},	    /* per-packet information: Ethernet, and 802.11 */
	{192, 105, 8, "\0\0\x8\0\x69\0\0\0"},
	{204, 9, 1, "\1"},	     /* sent */
	{219, 101, 4, "\0\1\1\x40"}, /* the last label */
};

static unsigned seeds[0x10000]; /* of each link type */

/* An input: `head`, a prefix, a frame. */
static void write_seed(const char *folder, uint32_t kind, unsigned number, const uint8_t *head, size_t head_size, const uint8_t *frame,
		       size_t size)
{
	uint8_t prefix[PREFIX] = {0, 0, (uint8_t)(number * 7)};
	char path[4096];
	FILE *into;

	snprintf(path, sizeof(path), "%s/%03u-%05u", folder, kind, number);
	into = fopen(path, "wb");
	if (!into) {
		perror(path);
		exit(1);
	}
	fwrite(head, head_size, 1, into);
	fwrite(prefix, PREFIX, 1, into);
	fwrite(frame, size < LONGEST ? size : LONGEST, 1, into);
	fclose(into);
}

static void write_link(const char *folder, uint32_t type, const uint8_t *frame, size_t size)
{
	const struct hw_link_type *known = hw_link_type_find(type);
	uint8_t head[2] = {(uint8_t)(type >> 8), (uint8_t)type};

	if (known && known->read && seeds[type] < OF_TYPE)
		write_seed(folder, type, seeds[type]++, head, sizeof(head), frame, size);
}

static void write_made(const char *folder, const struct frame *frame)
{
	static unsigned written[sizeof(MADE) / sizeof(MADE[0])];

	for (size_t i = 0; i < sizeof(MADE) / sizeof(MADE[0]); i++) {
		const struct made *made = &MADE[i];
		uint8_t octets[256 + LONGEST] = {};
		size_t size = frame->captured < LONGEST ? frame->captured : LONGEST;

		if (made->of != frame->link_type || written[i]++ >= OF_MADE)
			continue;
		memcpy(octets, made->head, sizeof(made->head));
		memcpy(octets + made->size, frame->octets, size);
		write_link(folder, made->type, octets, made->size + size);
	}
}

static void write_frame(char **folders, const struct frame *frame)
{
	static unsigned number;
	uint8_t is_ip = frames_start(frame) == 2;

	if (frames_start(frame))
		write_seed(folders[1], is_ip, number++, &is_ip, 1, frame->octets, frame->captured);
	write_link(folders[2], frame->link_type, frame->octets, frame->captured);
	write_made(folders[2], frame);
}

int main(int count, char **folders)
{
	const struct hw_link_type *type;
	struct frames file;
	struct frame frame;
	char path[4096];
	int missing = 0;

	while (count == 3 && fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = 0;
		if (frames_open(&file, path))
			for (int i = 0; i < OF_CAPTURE && frames_next(&file, &frame); i++)
				write_frame(folders, &frame);
		frames_close(&file);
	}
	for (uint32_t number = 0; number < 0x10000; number++) {
		type = hw_link_type_find(number);
		if (type && type->read && !seeds[number]) {
			fprintf(stderr, "%s (%u) has no seed\n", type->name, number);
			missing = 1;
		}
	}
	return missing;
}
