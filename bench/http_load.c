/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short connections: a request and an answer of 200 octets each, and an end. `serve IPV4 PORT` answers for ever; `ask IPV4 PORT SECONDS RATE`
 * makes RATE of them a second, or as many as it can with 0, one after another, and prints {"asked": N, "seconds": S}.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OCTETS 200

static void fail(const char *what)
{
	fprintf(stderr, "http_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* OCTETS of them; 0 at the end of the stream. */
static int take(int from)
{
	char octets[OCTETS];
	int taken, all = 0;

	for (; all < OCTETS; all += taken) {
		taken = recv(from, octets, OCTETS - all, 0);
		if (taken <= 0)
			return 0;
	}
	return 1;
}

static void serve(const struct sockaddr_in *at)
{
	char answer[OCTETS] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (const struct sockaddr *)at, sizeof(*at)) || listen(listener, 4096))
		fail("bind");
	puts("listening");
	fflush(stdout);
	for (;;) {
		int taken = accept(listener, NULL, NULL);

		if (taken < 0)
			continue;
		if (take(taken))
			send(taken, answer, OCTETS, MSG_NOSIGNAL);
		close(taken);
	}
}

static void ask(const struct sockaddr_in *at, double seconds, double rate)
{
	char request[OCTETS] = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", rest;
	double begin = now(), end = begin + seconds;
	unsigned long long asked = 0;

	while (now() < end) {
		int one = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(one, (const struct sockaddr *)at, sizeof(*at)))
			fail("connect");
		if (send(one, request, OCTETS, MSG_NOSIGNAL) != OCTETS || !take(one) || recv(one, &rest, 1, 0))
			fail("the answer");
		close(one);
		asked++;
		while (rate > 0 && now() < end && asked > (now() - begin) * rate)
			usleep(200);
	}
	printf("{\"asked\": %llu, \"seconds\": %.6f}\n", asked, now() - begin);
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET};

	if (argc < 4 || inet_pton(AF_INET, argv[2], &at.sin_addr) != 1 || (strcmp(argv[1], "serve") && argc != 6)) {
		fprintf(stderr, "usage: http_load serve IPV4 PORT | http_load ask IPV4 PORT SECONDS RATE\n");
		return 2;
	}
	at.sin_port = htons(atoi(argv[3]));
	if (!strcmp(argv[1], "serve"))
		serve(&at);
	ask(&at, atof(argv[4]), atof(argv[5]));
	return 0;
}
