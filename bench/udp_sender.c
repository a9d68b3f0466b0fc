/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends UDP datagrams of 22 octets, which are frames of 64, to one address, 64 a system call, from `TUPLES` source ports in turn, to PORT and
 * as many ports behind it as PORTS says; RATE a second, or as fast as it can. Prints {"sent": N, "seconds": S, "tuples": T}: what the kernel took, and of how many tuples.
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
	const struct timespec pause = {.tv_nsec = 200000};
	double begin, end, rate;
	int tuples, ports, used = 0;

	tuples = argc >= 5 && argc <= 7 ? atoi(argv[4]) : 0;
	ports = argc >= 6 ? atoi(argv[5]) : 1;
	rate = argc == 7 ? atof(argv[6]) : 0;
	if (tuples < 1 || tuples > MOST_TUPLES || ports < 1 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: udp_sender IPV4 PORT SECONDS TUPLES (1..%d) [PORTS [RATE]]\n", MOST_TUPLES);
		return 2;
	}
	to.sin_port = htons(atoi(argv[2]));
	for (int i = 0; i < tuples; i++) {
		sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
		if (sockets[i] < 0 || (ports == 1 && connect(sockets[i], (struct sockaddr *)&to, sizeof(to))))
			fail(argv[1]);
	}
	for (int i = 0; i < TOGETHER; i++) {
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &octets, .msg_iovlen = 1};
		if (ports > 1) {
			messages[i].msg_hdr.msg_name = &to;
			messages[i].msg_hdr.msg_namelen = sizeof(to);
		}
	}
	begin = now();
	end = begin + atof(argv[3]);
	for (unsigned int i = 0; now() < end; i = (i + 1) % (tuples * ports)) {
		int taken;

		while (rate > 0 && (now() - begin) * rate < sent)
			nanosleep(&pause, NULL);
		to.sin_port = htons(atoi(argv[2]) + i / tuples);
		taken = sendmmsg(sockets[i % tuples], messages, TOGETHER, 0);

		if (taken < 0 && errno != ECONNREFUSED)
			fail("sendmmsg");
		sent += taken > 0 ? taken : 0;
		if (used <= (int)i)
			used = i + 1;
	}
	printf("{\"sent\": %llu, \"seconds\": %.6f, \"tuples\": %d}\n", sent, now() - begin, used);
	return 0;
}
