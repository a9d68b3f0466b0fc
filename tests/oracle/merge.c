/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All frames of many captures whose link types are wanted, as one pcapng file with an interface for each type, so that tshark starts once.
 *
 *   merge INTO LINK-TYPE... < names of capture files, one a line
 *
 * Prints a line for each frame: the file's name and the frame's number in it.
 */
#include "../parity/frames.h"

#define LARGEST 262144 /* octets: tshark's own limit for a packet */

static void put(FILE *into, uint32_t kind, const uint32_t *head, uint32_t words, const uint8_t *octets, uint32_t size)
{
	uint32_t padded = (size + 3) & ~3u, total = 12 + words * 4 + padded;

	fwrite(&kind, 4, 1, into);
	fwrite(&total, 4, 1, into);
	fwrite(head, 4, words, into);
	fwrite(octets, 1, size, into);
	fwrite("\0\0\0", 1, padded - size, into);
	fwrite(&total, 4, 1, into);
}

int main(int argc, char **argv)
{
	uint32_t section[4] = {0x1a2b3c4d, 1, 0xffffffff, 0xffffffff}, interface[2] = {0, LARGEST}, packet[5] = {0};
	struct frames file;
	struct frame frame;
	char path[4096];
	FILE *into;
	int i;

	if (argc < 3 || !(into = fopen(argv[1], "wb"))) {
		fprintf(stderr, "usage: merge INTO LINK-TYPE... < capture-file-names\n");
		return 2;
	}
	put(into, 0x0a0d0d0a, section, 4, NULL, 0);
	for (i = 2; i < argc; i++) {
		interface[0] = (uint32_t)atoi(argv[i]);
		put(into, 1, interface, 2, NULL, 0);
	}
	while (fgets(path, sizeof(path), stdin)) {
		unsigned long number = 0;

		path[strcspn(path, "\n")] = 0;
		if (frames_open(&file, path)) {
			while (frames_next(&file, &frame)) {
				number++;
				for (i = 2; i < argc && (uint32_t)atoi(argv[i]) != frame.link_type; i++)
					;
				if (i == argc || frame.captured > LARGEST)
					continue;
				packet[0] = (uint32_t)i - 2;
				packet[3] = frame.captured;
				packet[4] = frame.length < frame.captured ? frame.captured : frame.length;
				put(into, 6, packet, 5, frame.octets, frame.captured);
				printf("%s %lu\n", path, number);
			}
		}
		frames_close(&file);
	}
	return fclose(into) != 0;
}
