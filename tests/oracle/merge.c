/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All frames of many captures that begin with Ethernet, or all that begin with IP, as one pcap file, so that tshark starts once.
 *
 *   merge START INTO < names of capture files, one a line        START: 1 Ethernet, 2 IP
 *
 * Prints a line for each frame: the file's name and the frame's number in it.
 */
#include "../parity/frames.h"

#define LARGEST 262144 /* octets: tshark's own limit for a packet */

int main(int argc, char **argv)
{
	uint32_t header[6] = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, LARGEST, 0}, record[4] = {0};
	char path[4096];
	struct frames file;
	struct frame frame;
	FILE *into;
	int start;

	if (argc != 3 || !(into = fopen(argv[2], "wb"))) {
		fprintf(stderr, "usage: merge START INTO < capture-file-names\n");
		return 2;
	}
	start = atoi(argv[1]);
	header[5] = start == 1 ? 1 : 101;
	fwrite(header, sizeof(header), 1, into);
	while (fgets(path, sizeof(path), stdin)) {
		unsigned long number = 0;

		path[strcspn(path, "\n")] = 0;
		if (frames_open(&file, path)) {
			while (frames_next(&file, &frame)) {
				number++;
				if (frames_start(&frame) != start || frame.captured > LARGEST)
					continue;
				record[2] = frame.captured;
				record[3] = frame.length < frame.captured ? frame.captured : frame.length;
				fwrite(record, sizeof(record), 1, into);
				fwrite(frame.octets, frame.captured, 1, into);
				printf("%s %lu\n", path, number);
			}
		}
		frames_close(&file);
	}
	return fclose(into) != 0;
}
