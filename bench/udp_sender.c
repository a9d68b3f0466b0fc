/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends UDP datagrams of 22 octets, which are frames of 64, to one address, 64 a system call, from `TUPLES` source ports in turn.
 * Prints {"sent": N, "seconds": S}: what the kernel took.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define TOGETHER 64
#define PAYLOAD 22
#define MOST_TUPLES 1000

static void fail(const char *what)
{
	fprintf(stderr, "udp_sender: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static int sockets[MOST_TUPLES];
	static char payload[PAYLOAD];
	struct iovec octets = {payload, sizeof(payload)};
	struct mmsghdr messages[TOGETHER] = {0};
	struct sockaddr_in to = {.sin_family = AF_INET};
	unsigned long long sent = 0;
	double begin, end;
	int tuples;

	tuples = argc == 5 ? atoi(argv[4]) : 0;
	if (tuples < 1 || tuples > MOST_TUPLES || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: udp_sender IPV4 PORT SECONDS TUPLES (1..%d)\n", MOST_TUPLES);
		return 2;
	}
	to.sin_port = htons(atoi(argv[2]));
	for (int i = 0; i < tuples; i++) {
		sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
		if (sockets[i] < 0 || connect(sockets[i], (struct sockaddr *)&to, sizeof(to)))
			fail(argv[1]);
	}
	for (int i = 0; i < TOGETHER; i++)
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &octets, .msg_iovlen = 1};
	begin = now();
	end = begin + atof(argv[3]);
	for (int i = 0; now() < end; i = (i + 1) % tuples) {
		int taken = sendmmsg(sockets[i], messages, TOGETHER, 0);

		if (taken < 0 && errno != ECONNREFUSED)
			fail("sendmmsg");
		sent += taken > 0 ? taken : 0;
	}
	printf("{\"sent\": %llu, \"seconds\": %.6f}\n", sent, now() - begin);
	return 0;
}
