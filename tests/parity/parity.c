/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same frames through the kernel's programs (BPF_PROG_TEST_RUN) and through the native build of packet.h: every octet of every
 * row equal, those of carriers too, but the time, which must not run backwards.
 *
 *   parity OBJECT PART PARTS CUTS MUTATIONS GENERATED SEED STOP   < names of capture files, one a line
 *
 * Each distinct frame (by its first 256 octets and its length) runs whole, cut at every octet up to CUTS, and in MUTATIONS random
 * variations; and so do GENERATED frames. SEED makes the same again. STOP: end after so many differences. PART of PARTS: which frames, and
 * which CPU, are ours.
 * Prints a JSON object a line: differences, then one that sums up. Leaves with 1 if there was a difference.
 *
 * Limits of the kernel's test run: XDP takes frames from 14 octets, tc as well, but 34 where the type says IPv4 and 54 where it says
 * IPv6; both up to a page less head and tail room (XDP programs that know fragments take longer ones). No VLAN tag beside the frame.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <sched.h>

#include "frames.h"
#include "generate.h"
#include "packet.h"

#define LINEAR 3500 /* octets that a test run takes in one piece */
#define LONGEST 9216
#define POOL 256 /* frames that mutations borrow from */
#define LOOPBACK 1
#define MOST_ROWS (HW_MAX_TUNNELS + 1) /* of a packet: those of its carriers, and its own */

enum program { XDP, XDP_CONSUME, TCX_IN, TCX_OUT, TCX_IN_IP, TCX_OUT_IP, PROGRAMS };
static const struct {
	const char *name;
	enum hw_start start;
	enum hw_hook hook;
	enum hw_direction direction;
	__u32 verdict;
} programs[PROGRAMS] = {
	{"hw_xdp", HW_START_ethernet, HW_HOOK_xdp, HW_DIRECTION_in, XDP_PASS},
	{"hw_xdp_consume", HW_START_ethernet, HW_HOOK_xdp, HW_DIRECTION_in, XDP_DROP},
	{"hw_tcx_in", HW_START_ethernet, HW_HOOK_tcx, HW_DIRECTION_in, (__u32)TC_ACT_UNSPEC},
	{"hw_tcx_out", HW_START_ethernet, HW_HOOK_tcx, HW_DIRECTION_out, (__u32)TC_ACT_UNSPEC},
	{"hw_tcx_in", HW_START_ip, HW_HOOK_tcx, HW_DIRECTION_in, (__u32)TC_ACT_UNSPEC},
	{"hw_tcx_out", HW_START_ip, HW_HOOK_tcx, HW_DIRECTION_out, (__u32)TC_ACT_UNSPEC},
};

static int fds[PROGRAMS];
static unsigned long runs[PROGRAMS], refused, differences, weirds[128], layers[32], distinct;
static unsigned long stop_after;
static __u64 last_time;
struct rows {
	struct hw_packet rows[MOST_ROWS];
	int count;
};
static unsigned long carriers;
static struct rows from_kernel;
static struct ring_buffer *ring;
static int counts_fd[2]; /* of devices that start with Ethernet, and with IP */

static void fail(const char *what)
{
	fprintf(stderr, "parity: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int take_row(void *context, void *data, size_t size)
{
	(void)context;
	if (size != sizeof(*from_kernel.rows))
		fail("a record of another size");
	if (from_kernel.count < MOST_ROWS)
		memcpy(&from_kernel.rows[from_kernel.count], data, size);
	from_kernel.count++;
	return 0;
}

/* The programs that start so, loaded by themselves: what a device's frames begin with is a part of its counters. */
static void open_object(const char *path, int cpu, int starts_with_ip)
{
	static struct hw_counters counters[256];
	struct bpf_object *object;
	struct hw_control *control;
	struct bpf_program *program;
	struct bpf_map *rings, *shared;
	size_t size;
	__u32 key = 0;
	int i, fd;

	if (libbpf_num_possible_cpus() > 256)
		fail("too many CPUs");
	object = bpf_object__open_file(path, NULL);
	if (!object)
		fail(path);
	rings = bpf_object__find_map_by_name(object, "hw_packet_rings");
	if (!rings || bpf_map__set_max_entries(rings, libbpf_num_possible_cpus()))
		fail("hw_packet_rings");
	shared = bpf_object__find_map_by_name(object, ".bss");
	control = shared ? bpf_map__initial_value(shared, &size) : NULL;
	if (!control || size != sizeof(*control))
		fail("hw_control");
	control->carries = 1;
	bpf_object__for_each_program(program, object) bpf_program__set_autoload(program, false);
	for (i = 0; i < PROGRAMS; i++)
		if ((programs[i].start == HW_START_ip) == starts_with_ip)
			bpf_program__set_autoload(bpf_object__find_program_by_name(object, programs[i].name), true);
	if (bpf_object__load(object))
		fail("load");
	fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "parity", 0, 0, 1 << 16, NULL);
	key = (__u32)cpu;
	if (fd < 0 || bpf_map_update_elem(bpf_map__fd(rings), &key, &fd, BPF_ANY))
		fail("ring");
	if (ring ? ring_buffer__add(ring, fd, take_row, NULL) : !(ring = ring_buffer__new(fd, take_row, NULL, NULL)))
		fail("ring_buffer__new");
	counts_fd[starts_with_ip] = bpf_object__find_map_fd_by_name(object, "hw_counts");
	for (i = 0; i < 256; i++)
		counters[i].starts_with_ip = (__u32)starts_with_ip;
	key = 0;
	if (counts_fd[starts_with_ip] < 0 || bpf_map_update_elem(counts_fd[starts_with_ip], &key, counters, BPF_ANY))
		fail("hw_counts");
	for (i = 0; i < PROGRAMS; i++) {
		if ((programs[i].start == HW_START_ip) != starts_with_ip)
			continue;
		program = bpf_object__find_program_by_name(object, programs[i].name);
		if (!program)
			fail(programs[i].name);
		fds[i] = bpf_program__fd(program);
	}
}

/* The kernel's own ledger of these runs: each was seen, and each became a row behind those of its carriers. */
static int ledger_is_off(int cpu)
{
	static struct hw_counters counts[2][256];
	unsigned long expected = 0;
	__u32 key = 0;
	int i;

	for (i = 0; i < 2; i++)
		if (bpf_map_lookup_elem(counts_fd[i], &key, counts[i]))
			fail("hw_counts");
	for (i = 0; i < PROGRAMS; i++)
		expected += runs[i];
	return counts[0][cpu].seen + counts[1][cpu].seen != expected || counts[0][cpu].as_row + counts[1][cpu].as_row != expected ||
	       counts[0][cpu].carriers + counts[1][cpu].carriers != carriers || counts[0][cpu].consumed != runs[XDP_CONSUME];
}

static void native(struct rows *made, const __u8 *octets, __u32 size, enum program program, __u8 junk)
{
	static struct hw_parser p;

	memset(p.window, junk, sizeof(p.window)); /* what no parser may look at */
	p.have = size < HW_WINDOW ? size : HW_WINDOW;
	memcpy(p.window, octets, p.have);
	p.carries = 1;
	hw_begin(&p);
	p.row.length = size;
	p.row.captured = size;
	p.row.interface = LOOPBACK;
	p.row.hook = programs[program].hook;
	p.row.direction = programs[program].direction;
	hw_parse(&p, programs[program].start);
	memset(made, 0, sizeof(*made));
	memcpy(made->rows, p.carriers, p.carrier_count * sizeof(p.row));
	made->rows[p.carrier_count] = p.row;
	made->count = (int)p.carrier_count + 1;
}

static void print_hex(const char *name, const void *data, size_t size)
{
	const __u8 *octets = data;
	size_t i;

	printf("\"%s\": \"", name);
	for (i = 0; i < size; i++)
		printf("%02x", octets[i]);
	printf("\"");
}

static void difference(const char *problem, enum program program, const __u8 *octets, __u32 size, const struct rows *expected)
{
	int i = 0;

	while (i < expected->count - 1 && !memcmp(&expected->rows[i], &from_kernel.rows[i], sizeof(*expected->rows)))
		i++;
	printf("{\"problem\": \"%s\", \"program\": \"%s\", \"size\": %u, ", problem, programs[program].name, size);
	print_hex("frame", octets, size < HW_WINDOW ? size : HW_WINDOW);
	printf(", ");
	print_hex("kernel", &from_kernel.rows[i], sizeof(*from_kernel.rows));
	printf(", ");
	print_hex("native", &expected->rows[i], sizeof(*expected->rows));
	printf("}\n");
	differences++;
}

/* Whether the kernel's test run is known to refuse such a frame. */
static int refusal_known(const __u8 *octets, __u32 size, enum program program)
{
	__u32 type;

	if (size < 14)
		return 1;
	if (program == XDP || program == XDP_CONSUME)
		return 0;
	type = octets[12] << 8 | octets[13];
	return size > LINEAR || (type == 0x0800 && size < 34) || (type == 0x86dd && size < 54);
}

static void compare(const __u8 *octets, __u32 size, enum program program)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = octets, .data_size_in = size);
	struct rows expected, again;
	const struct hw_packet *row;
	int i;

	if (differences >= stop_after)
		return;
	if (refusal_known(octets, size, program)) {
		refused++;
		return;
	}
	native(&expected, octets, size, program, 0xa5);
	native(&again, octets, size, program, 0x00);
	if (memcmp(&expected, &again, sizeof(again)))
		difference("what lies behind the frame is looked at", program, octets, size, &expected);
	memset(&from_kernel, 0, sizeof(from_kernel));
	if (bpf_prog_test_run_opts(fds[program], &run)) {
		difference("refused by the test run", program, octets, size, &expected);
		return;
	}
	runs[program]++;
	ring_buffer__consume(ring);
	carriers += (unsigned long)expected.count - 1;
	for (i = 0; i < expected.count; i++)
		expected.rows[i].ts = from_kernel.rows[i].ts;
	row = &expected.rows[expected.count - 1];
	if (expected.count != from_kernel.count)
		difference("another number of rows", program, octets, size, &expected);
	else if (memcmp(&expected, &from_kernel, sizeof(expected)))
		difference("rows differ", program, octets, size, &expected);
	else if (run.retval != programs[program].verdict)
		difference("another verdict", program, octets, size, &expected);
	else if (row->ts < last_time)
		difference("time runs backwards", program, octets, size, &expected);
	last_time = row->ts;
	weirds[row->weird & 127]++;
	for (i = 0; i < 32; i++)
		layers[i] += row->has >> i & 1;
}

/* One frame through all programs that start as it does; those that share their text with another get a part of the frames. */
static void run_frame(const __u8 *octets, __u32 size, int start)
{
	static unsigned long turn;

	turn++;
	if (start == 1) {
		compare(octets, size, XDP);
		compare(octets, size, TCX_IN);
		if (turn % 16 == 0)
			compare(octets, size, TCX_OUT);
		if (turn % 16 == 8)
			compare(octets, size, XDP_CONSUME);
		if (turn % 16 != 4 || size <= 14) /* what Ethernet carries, as a device without Ethernet has it */
			return;
		octets += 14;
		size -= 14;
	}
	compare(octets, size, TCX_IN_IP);
	if (turn % 16 == 4)
		compare(octets, size, TCX_OUT_IP);
}

static struct {
	__u8 octets[HW_WINDOW];
	__u32 size;
} pool[POOL];

/* One to four changes in the first 128 octets: a random octet, a bit, an edge value, a tag put in, or a piece of another frame. */
static void mutate(const __u8 *octets, __u32 size, int start)
{
	static const __u8 edges[] = {0, 1, 2, 4, 6, 17, 43, 44, 51, 58, 60, 0x45, 0x4f, 0x60, 0x7f, 0x80, 0x81, 0xff};
	static __u8 copy[LONGEST + 4];
	__u32 changes = 1 + random_below(4), at, from, count;

	memcpy(copy, octets, size);
	while (changes--) {
		at = random_below(size < 128 ? size : 128);
		switch (random_below(6)) {
		case 0:
			copy[at] = (__u8)random_below(256);
			break;
		case 1:
			copy[at] ^= (__u8)(1 << random_below(8));
			break;
		case 2:
		case 3:
			copy[at] = edges[random_below(sizeof(edges))];
			break;
		case 4:
			if (start != 1 || size < 14 || size >= LINEAR)
				break;
			memmove(copy + 16, copy + 12, size - 12);
			memcpy(copy + 12, random_below(2) ? "\x81\x00" : "\x88\xa8", 2);
			size += 4;
			break;
		case 5:
			from = random_below(POOL);
			count = 1 + random_below(40);
			if (at + count <= size && at + count <= pool[from].size)
				memcpy(copy + at, pool[from].octets + at, count);
		}
	}
	run_frame(copy, random_below(4) ? size : 1 + random_below(size), start);
}

/* A set of hashes that only grows. Returns 1 if `hash` is new. */
struct seen {
	__u64 *hashes;
	size_t size, used;
};

static int is_new(struct seen *seen, __u64 hash)
{
	struct seen old = *seen;
	size_t i;

	hash += !hash;
	if (seen->used * 2 >= seen->size) {
		seen->size = old.size ? old.size * 2 : 1 << 16;
		seen->hashes = calloc(seen->size, sizeof(*seen->hashes));
		if (!seen->hashes)
			fail("memory");
		seen->used = 0;
		for (i = 0; i < old.size; i++)
			if (old.hashes[i])
				is_new(seen, old.hashes[i]);
		free(old.hashes);
	}
	for (i = hash % seen->size; seen->hashes[i]; i = (i + 1) % seen->size)
		if (seen->hashes[i] == hash)
			return 0;
	seen->hashes[i] = hash;
	seen->used++;
	return 1;
}

static __u64 fnv(const void *data, size_t size, __u64 hash)
{
	const __u8 *octets = data;

	while (size--)
		hash = (hash ^ *octets++) * 0x100000001b3;
	return hash ^ hash >> 29;
}

struct plan {
	unsigned long part, parts, cuts, mutations, generated, seed;
};

static void frame(const struct plan *plan, const __u8 *octets, __u32 size, int start)
{
	unsigned long i;

	run_frame(octets, size, start);
	for (i = 1; i < size && i <= plan->cuts; i++)
		run_frame(octets, (__u32)i, start);
	random_state = fnv(octets, size < HW_WINDOW ? size : HW_WINDOW, plan->seed + 1) | 1;
	for (i = 0; i < plan->mutations; i++)
		mutate(octets, size, start);
	i = distinct++ % POOL;
	pool[i].size = size < HW_WINDOW ? size : HW_WINDOW;
	memcpy(pool[i].octets, octets, pool[i].size);
}

static void read_file(const struct plan *plan, const char *path)
{
	static struct seen seen_frames;
	struct frames file;
	struct frame found;

	if (frames_open(&file, path)) {
		while (differences < stop_after && frames_next(&file, &found)) {
			__u32 size = found.captured < LONGEST ? found.captured : LONGEST;
			int start = frames_start(&found);
			__u64 hash;

			if (!start || !size)
				continue;
			hash = fnv(found.octets, size < HW_WINDOW ? size : HW_WINDOW, (__u64)size << 2 | (__u64)start);
			if (hash % plan->parts == plan->part && is_new(&seen_frames, hash))
				frame(plan, found.octets, size, start);
		}
	}
	frames_close(&file);
}

/* A frame of which each octet counts, so that it is cut at each, and runs without Ethernet as well. */
static void corner(const struct plan *plan, const __u8 *octets, __u32 size)
{
	__u32 i;

	for (i = 1; i < size; i++)
		run_frame(octets, i, 1);
	run_frame(octets + 14, size - 14, 12);
	frame(plan, octets, size, 1);
}

static void generate_frames(const struct plan *plan)
{
	__u8 made[GENERATE_ROOM];
	unsigned long i, state;

	random_state = fnv("generated", 9, plan->seed * plan->parts + plan->part + 1) | 1;
	for (i = 0; i < plan->generated && differences < stop_after; i++) {
		__u32 size = generate(made);

		state = random_state;
		frame(plan, made, size, 1);
		random_state = state;
	}
	for (i = 0; i < CORNERS && plan->generated && differences < stop_after; i++)
		corner(plan, made, make_corner(made, i));
	for (i = 0; i < EDGES && plan->generated && differences < stop_after; i++)
		frame(plan, made, make_edge(made, i), 1);
}

/* Stay on one CPU, whose ring and counters are then ours: the PARTth of those that we may use. */
static int pin(unsigned long part)
{
	cpu_set_t allowed, one;
	int cpu, nth;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		fail("sched_getaffinity");
	nth = (int)part % CPU_COUNT(&allowed);
	for (cpu = 0; !CPU_ISSET(cpu, &allowed) || nth--; cpu++)
		;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		fail("sched_setaffinity");
	return cpu;
}

static void print_counts(const char *name, const unsigned long *counts, int count)
{
	int i;

	printf("\"%s\": [", name);
	for (i = 0; i < count; i++)
		printf("%s%lu", i ? ", " : "", counts[i]);
	printf("], ");
}

int main(int argc, char **argv)
{
	struct plan plan;
	char path[4096];
	int cpu;

	if (argc != 9) {
		fprintf(stderr, "usage: parity OBJECT PART PARTS CUTS MUTATIONS GENERATED SEED STOP < capture-file-names\n");
		return 2;
	}
	plan.part = strtoul(argv[2], NULL, 10);
	plan.parts = strtoul(argv[3], NULL, 10);
	plan.cuts = strtoul(argv[4], NULL, 10);
	plan.mutations = strtoul(argv[5], NULL, 10);
	plan.generated = strtoul(argv[6], NULL, 10);
	plan.seed = strtoul(argv[7], NULL, 10);
	stop_after = strtoul(argv[8], NULL, 10);
	cpu = pin(plan.part);
	open_object(argv[1], cpu, 0);
	open_object(argv[1], cpu, 1);
	while (differences < stop_after && fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = 0;
		read_file(&plan, path);
	}
	generate_frames(&plan);
	if (ledger_is_off(cpu)) {
		printf("{\"problem\": \"the kernel's ledger does not add up\"}\n");
		differences++;
	}
	printf("{");
	print_counts("runs", runs, PROGRAMS);
	print_counts("weirds", weirds, 128);
	print_counts("layers", layers, 32);
	printf("\"carriers\": %lu, ", carriers);
	printf("\"distinct\": %lu, \"refused\": %lu, \"differences\": %lu}\n", distinct, refused, differences);
	return differences != 0;
}
