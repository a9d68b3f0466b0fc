/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1. `serve IPV4 PORT` answers for ever: what is called /STATUS/OCTETS/... has that status and so many octets. `ask IPV4 PORT SECONDS RATE
 * [CONNECTIONS REQUESTS LARGE]` asks RATE times a second, or as often as it can with 0, over so many connections at a time (1), one request after
 * another in each. After REQUESTS (1) the server ends a connection, and another one begins. One answer of LARGE (0: none) has 20,000 octets, the
 * others 20, and one of ten is a 404. At the end it prints {"asked": N, "seconds": S}.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 256 /* connections at a time, of each side: a thread for each */
#define HEAD 512 /* octets of a request, or of an answer before its body, at most */
#define SMALL 20
#define LARGE 20000

static struct sockaddr_in at = {.sin_family = AF_INET};

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

static void start(void *(*run)(void *), void *with, pthread_t *thread)
{
	errno = pthread_create(thread, NULL, run, with);
	if (errno)
		fail("a thread");
}

static const char *last(int is_last)
{
	return is_last ? "close" : "keep-alive";
}

/* The octets of an answer, of LARGE of a body at most. Returns how many there are. */
static int answer_of(char *into, int status, int octets, int is_last)
{
	int head = snprintf(into, HEAD,
			    "HTTP/1.1 %d %s\r\nServer: http_load\r\nDate: Mon, 03 Nov 2025 10:00:00 GMT\r\nContent-Type: text/plain\r\n"
			    "Content-Length: %d\r\nConnection: %s\r\n\r\n",
			    status, status == 200 ? "OK" : "Not Found", octets, last(is_last));

	memset(into + head, 'x', octets);
	return head + octets;
}

/* -- the server ------------------------------------------------------------------------------------------------------------------- */

/* One request, which nothing follows before it is answered. Its octets; 0 at the end of the connection. */
static int take(int from, char *into)
{
	int taken, all = 0;

	do {
		taken = recv(from, into + all, HEAD - 1 - all, 0);
		if (taken <= 0)
			return 0;
		all += taken;
		into[all] = 0;
	} while (!strstr(into, "\r\n\r\n"));
	return all;
}

static void *serve(void *listener)
{
	char request[HEAD], answer[HEAD + LARGE];

	for (;;) {
		int one = accept(*(int *)listener, NULL, NULL), status, octets, is_last = 0;

		while (one >= 0 && !is_last && take(one, request)) {
			if (sscanf(request, "GET /%d/%d/", &status, &octets) != 2 || octets < 0 || octets > LARGE)
				break;
			is_last = !!strstr(request, "\r\nConnection: close\r\n");
			send(one, answer, answer_of(answer, status, octets, is_last), MSG_NOSIGNAL);
		}
		close(one);
	}
	return NULL;
}

static void serve_all(void)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	pthread_t thread;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* what it accepts has it, too */
	if (bind(listener, (const struct sockaddr *)&at, sizeof(at)) || listen(listener, 4096))
		fail("bind");
	for (int i = 0; i < MOST; i++)
		start(serve, &listener, &thread);
	puts("listening");
	fflush(stdout);
	pause();
}

/* -- who asks --------------------------------------------------------------------------------------------------------------------- */

struct load {
	double begin, seconds, rate;
	int connections, requests, large;
};

struct asker {
	const struct load *load;
	int number;
	unsigned long long asked;
	pthread_t thread;
};

static int connected(void)
{
	int one = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	if (connect(one, (const struct sockaddr *)&at, sizeof(at)))
		fail("connect");
	setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	return one;
}

/* A request, and all of its answer, which must be what was asked for. */
static void talk(int to, unsigned long long number, int is_large, int is_last)
{
	char request[HEAD], expected[HEAD + LARGE], answer[HEAD + LARGE];
	int status = number % 10 == 9 ? 404 : 200, octets = is_large ? LARGE : SMALL, length;

	length = snprintf(
		request, HEAD,
		"GET /%d/%d/%llu HTTP/1.1\r\nHost: load.example\r\nUser-Agent: http_load\r\nAccept: text/plain\r\nAccept-Language: en\r\n"
		"Accept-Encoding: gzip, deflate\r\nConnection: %s\r\n\r\n",
		status, octets, number, last(is_last));
	if (send(to, request, length, MSG_NOSIGNAL) != length)
		fail("a request");
	length = answer_of(expected, status, octets, is_last);
	if (recv(to, answer, length, MSG_WAITALL) != length || memcmp(answer, expected, length) || (is_last && recv(to, answer, 1, 0)))
		fail("an answer");
}

static void *ask(void *asks)
{
	struct asker *asker = asks;
	const struct load *load = asker->load;
	double end = load->begin + load->seconds, due;
	struct timespec until;
	int one = -1;

	for (;; asker->asked++) {
		unsigned long long number = asker->asked * load->connections + asker->number;
		int is_last = asker->asked % load->requests == load->requests - 1ull;

		due = load->rate > 0 ? load->begin + number / load->rate : 0;
		if (due >= end || now() >= end)
			break;
		until = (struct timespec){.tv_sec = due, .tv_nsec = (due - (time_t)due) * 1e9};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		if (one < 0)
			one = connected();
		talk(one, number, load->large && number % load->large == 0, is_last);
		if (is_last) {
			close(one);
			one = -1;
		}
	}
	close(one);
	return NULL;
}

static void ask_all(struct load load)
{
	static struct asker askers[MOST];
	unsigned long long asked = 0;

	load.begin = now();
	for (int i = 0; i < load.connections; i++) {
		askers[i] = (struct asker){.load = &load, .number = i};
		start(ask, &askers[i], &askers[i].thread);
	}
	for (int i = 0; i < load.connections; i++) {
		pthread_join(askers[i].thread, NULL);
		asked += askers[i].asked;
	}
	printf("{\"asked\": %llu, \"seconds\": %.6f}\n", asked, now() - load.begin);
}

int main(int argc, char **argv)
{
	struct load load = {.connections = 1, .requests = 1};
	int serves = argc == 4 && !strcmp(argv[1], "serve"), asks = (argc == 6 || argc == 9) && !strcmp(argv[1], "ask");

	if (argc == 9) {
		load.connections = atoi(argv[6]);
		load.requests = atoi(argv[7]);
		load.large = atoi(argv[8]);
	}
	if ((!serves && !asks) || inet_pton(AF_INET, argv[2], &at.sin_addr) != 1 || load.connections < 1 || load.connections > MOST ||
	    load.requests < 1) {
		fprintf(stderr, "usage: http_load serve IPV4 PORT | http_load ask IPV4 PORT SECONDS RATE [CONNECTIONS REQUESTS LARGE]\n");
		return 2;
	}
	at.sin_port = htons(atoi(argv[3]));
	if (serves)
		serve_all();
	load.seconds = atof(argv[4]);
	load.rate = atof(argv[5]);
	ask_all(load);
	return 0;
}
