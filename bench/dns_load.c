/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS over UDP: `serve IPV4` answers each query for ever; `ask IPV4 SECONDS RATE` sends RATE queries a second from 64 sockets, each of a name of its
 * own, takes the answers, and prints {"asked": N, "answered": N, "seconds": S}.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define SOCKETS 64
#define ROUND 0.001 /* seconds between two bursts */

static const unsigned char record[16] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1};

static void fail(const char *what)
{
	fprintf(stderr, "dns_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void serve(const struct sockaddr_in *at)
{
	int one = socket(AF_INET, SOCK_DGRAM, 0), room = 8 << 20;
	struct sockaddr_in from;
	unsigned char octets[512];

	setsockopt(one, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(one, (const struct sockaddr *)at, sizeof(*at)))
		fail("bind");
	puts("listening");
	fflush(stdout);
	for (;;) {
		socklen_t length = sizeof(from);
		int taken = recvfrom(one, octets, sizeof(octets) - sizeof(record), 0, (struct sockaddr *)&from, &length);

		if (taken < 17)
			continue;
		octets[2] = 0x85;
		octets[3] = 0x80;
		octets[7] = 1;
		memcpy(octets + taken, record, sizeof(record));
		sendto(one, octets, taken + sizeof(record), 0, (struct sockaddr *)&from, length);
	}
}

static void ask(const struct sockaddr_in *at, double seconds, double rate)
{
	unsigned char query[] = "\0\0\1\0\0\1\0\0\0\0\0\0\10q0000000\4load\7example\0\0\1\0\1", answer[512];
	unsigned long asked = 0, answered = 0;
	double begin, past;
	int sockets[SOCKETS];

	for (int i = 0; i < SOCKETS; i++) {
		sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
		if (connect(sockets[i], (const struct sockaddr *)at, sizeof(*at)))
			fail("connect");
	}
	begin = now();
	while ((past = now() - begin) < seconds + 0.3) {
		for (; past < seconds && asked < past * rate; asked++) {
			char name[8];

			snprintf(name, sizeof(name), "%07lu", asked % 10000000);
			memcpy(query + 14, name, 7);
			query[0] = asked / SOCKETS >> 8; /* of its socket */
			query[1] = asked / SOCKETS;
			send(sockets[asked % SOCKETS], query, sizeof(query) - 1, 0);
		}
		for (int i = 0; i < SOCKETS; i++)
			while (recv(sockets[i], answer, sizeof(answer), MSG_DONTWAIT) > 0)
				answered++;
		nanosleep(&(struct timespec){.tv_nsec = ROUND * 1e9}, NULL);
	}
	printf("{\"asked\": %lu, \"answered\": %lu, \"seconds\": %.3f}\n", asked, answered, seconds);
}

int main(int count, char **words)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(53)};

	if (count < 3 || !inet_aton(words[2], &at.sin_addr))
		return 2;
	if (!strcmp(words[1], "serve"))
		serve(&at);
	else if (count == 5)
		ask(&at, atof(words[3]), atof(words[4]));
	else
		return 2;
	return 0;
}
