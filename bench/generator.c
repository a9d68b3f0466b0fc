/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends UDP frames out of one end of a veth pair, millions a second: BPF_PROG_RUN with live frames hands pages to generator.bpf.c,
 * which writes the tuple into them and sends them. The other end needs an XDP program, or GRO on, to take them.
 *
 * Prints {"sent": N, "seconds": S}: what the program handed to the device. The other end's counters say what arrived; a full queue between
 * the two drops the rest, which does not happen where a CPU sends with a queue of its own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "generator.h"

#ifndef BPF_F_TEST_XDP_LIVE_FRAMES
#define BPF_F_TEST_XDP_LIVE_FRAMES (1U << 1)
#endif
#define SMALLEST 62  /* octets: Ethernet, IPv6 and UDP */
#define LARGEST 3000 /* a live frame lies in one page, behind headroom */
#define USAGE                                                                                                                              \
	"usage: generator --packets N | --seconds S [--rate PER_SECOND] [--tuples N] [--size OCTETS] [--cpu N] [--batch N]\n"              \
	"       [--seed N] [--ipv6] OBJECT INTERFACE\n"

struct settings {
	const char *object, *interface;
	unsigned long long packets, rate, seed;
	double seconds;
	unsigned int tuples, size, batch;
	int cpu, ipv6;
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static void fail(const char *what)
{
	fprintf(stderr, "generator: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void checksum(unsigned char *ip)
{
	unsigned int sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16)) & 0xffff;
	ip[10] = sum >> 8;
	ip[11] = sum;
}

/* The octets that all frames share. The IPv4 header's checksum is that of source 0.0.0.0: nobody on the way looks at it. */
static void make_frame(unsigned char *frame, const struct settings *s)
{
	static const unsigned char ethernet[12] = {2, 0, 0, 0x77, 0, 1, 2, 0, 0, 0x77, 0, 2};
	unsigned char *ip = frame + 14, *udp;
	unsigned int payload;

	memset(frame, 0, s->size);
	memcpy(frame, ethernet, sizeof(ethernet));
	if (s->ipv6) {
		memcpy(frame + 12, "\x86\xdd", 2);
		payload = s->size - 54;
		memcpy(ip, (unsigned char[]){0x60, 0, 0, 0, payload >> 8, payload, 17, 64}, 8);
		inet_pton(AF_INET6, "fd00::", ip + 8);
		inet_pton(AF_INET6, "fd77::1", ip + 24);
		udp = ip + 40;
	} else {
		memcpy(frame + 12, "\x08\x00", 2);
		payload = s->size - 34;
		memcpy(ip, (unsigned char[]){0x45, 0, (s->size - 14) >> 8, s->size - 14, 0, 0, 0x40, 0, 64, 17}, 10);
		inet_pton(AF_INET, "172.16.0.1", ip + 16);
		checksum(ip);
		udp = ip + 20;
	}
	memcpy(udp + 2, (unsigned char[]){53 >> 8, 53, payload >> 8, payload}, 4);
}

/* One call makes many packets, because a call takes 20 ms to set up and to end; a signal ends it between two batches. */
static void run(const struct settings *s, int program, int map, struct generator_state *state)
{
	unsigned char frame[LARGEST];
	struct xdp_md context = {.data_end = s->size, .ingress_ifindex = if_nametoindex(s->interface)};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = s->size, .ctx_in = &context,
		    .ctx_size_in = sizeof(context), .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = s->batch);
	struct itimerval timer = {.it_value = {s->seconds, (s->seconds - (long)s->seconds) * 1e6}};
	unsigned int zero = 0;

	*state = (struct generator_state){.left = s->packets ? s->packets : ~0ull,
					  .interval = s->rate ? 1000000000 / s->rate : 0,
					  .tuples = s->tuples,
					  .next_tuple = s->seed % s->tuples};
	if (bpf_map_update_elem(map, &zero, state, 0))
		fail("settings");
	make_frame(frame, s);
	if (s->seconds > 0 && setitimer(ITIMER_REAL, &timer, NULL))
		fail("--seconds");
	while (!stopped && state->left) {
		options.repeat = state->left < 1 << 30 ? state->left : 1 << 30;
		if (bpf_prog_test_run_opts(program, &options) && errno != EINTR)
			fail("BPF_PROG_RUN with live frames");
		if (bpf_map_lookup_elem(map, &zero, state))
			fail("counts");
	}
}

static void parse(int argc, char **argv, struct settings *s)
{
	static const struct option options[] = {
		{"packets", 1, 0, 'p'}, {"seconds", 1, 0, 't'}, {"rate", 1, 0, 'r'}, {"tuples", 1, 0, 'n'}, {"size", 1, 0, 's'},
		{"cpu", 1, 0, 'c'},	{"batch", 1, 0, 'b'},	{"seed", 1, 0, 'e'}, {"ipv6", 0, 0, '6'},   {0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			s->packets = strtoull(optarg, NULL, 0);
			break;
		case 't':
			s->seconds = strtod(optarg, NULL);
			break;
		case 'r':
			s->rate = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			s->tuples = strtoul(optarg, NULL, 0);
			break;
		case 's':
			s->size = strtoul(optarg, NULL, 0);
			break;
		case 'c':
			s->cpu = atoi(optarg);
			break;
		case 'b':
			s->batch = strtoul(optarg, NULL, 0);
			break;
		case 'e':
			s->seed = strtoull(optarg, NULL, 0);
			break;
		case '6':
			s->ipv6 = 1;
			break;
		default:
			optind = argc + 1;
		}
	}
	if (optind + 2 != argc || !s->packets == !(s->seconds > 0) || (s->rate && s->packets) || s->size < SMALLEST || s->size > LARGEST ||
	    !s->tuples) {
		fputs(USAGE, stderr);
		exit(2);
	}
	s->object = argv[optind];
	s->interface = argv[optind + 1];
}

int main(int argc, char **argv)
{
	struct settings s = {.tuples = 1, .size = 64, .batch = 64, .cpu = -1};
	struct generator_state state;
	struct bpf_object *object;
	double begin, seconds;

	parse(argc, argv, &s);
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	signal(SIGALRM, stop);
	if (s.cpu >= 0) {
		cpu_set_t only;

		CPU_ZERO(&only);
		CPU_SET(s.cpu, &only);
		if (sched_setaffinity(0, sizeof(only), &only))
			fail("--cpu");
	}
	if (!if_nametoindex(s.interface))
		fail(s.interface);
	object = bpf_object__open_file(s.object, NULL);
	if (!object || bpf_object__load(object))
		fail(s.object);
	begin = now();
	run(&s, bpf_program__fd(bpf_object__find_program_by_name(object, "generate")), bpf_object__find_map_fd_by_name(object, ".bss"),
	    &state);
	seconds = now() - begin;
	printf("{\"sent\": %llu, \"seconds\": %.6f}\n", state.sent, seconds);
	bpf_object__close(object);
	return 0;
}
