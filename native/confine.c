/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving privileges away for good: capabilities, the user, files (Landlock), system calls (seccomp). What is open stays open.
 *
 * System calls are an allow list: what a Python process needs that reads rings and sockets and writes files. Everything else fails with
 * EPERM, so that a library that asks for more gets an error and not its death. (Documentation/userspace-api/seccomp_filter.rst, landlock.rst)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "headwater.h"

#if defined(__x86_64__)
#define HW_AUDIT_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define HW_AUDIT_ARCH AUDIT_ARCH_AARCH64
#endif

int hw_bound_capabilities(uint64_t keep)
{
	int failed = 0;

	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		if (!(keep >> capability & 1))
			failed |= prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	return failed;
}

int hw_drop_capabilities(uint64_t keep)
{
	const uint32_t low = (uint32_t)keep, high = keep >> 32;
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct kept[2] = {{.effective = low, .permitted = low}, {.effective = high, .permitted = high}};

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return (int)syscall(SYS_capset, &head, kept);
}

int hw_become(uint32_t user, uint32_t group, int keep_capabilities)
{
	if (prctl(PR_SET_KEEPCAPS, keep_capabilities, 0, 0, 0))
		return -1;
	return setgroups(0, NULL) || setresgid(group, group, group) || setresuid(user, user, user) ? -1 : 0;
}

int hw_no_new_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int hw_landlock_version(void)
{
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version < 0 ? 0 : version;
}

#define REFER (1ULL << 13) /* LANDLOCK_ACCESS_FS_REFER, which older headers lack: names that move from folder to folder, since version 2 */

/* Kernels without Landlock, or with it switched off, answer ENOSYS or EOPNOTSUPP. */
int hw_landlock(const int *readable, size_t readables, const int *writable, size_t writables, int listable, enum hw_made made)
{
	const uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	const uint64_t all = ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) | (made == HW_MAKE_ANYTHING && hw_landlock_version() > 1 ? REFER : 0);
	const uint64_t files = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
	const uint64_t folders = files | (made == HW_MAKE_FOLDERS ? LANDLOCK_ACCESS_FS_MAKE_DIR : 0);
	const uint64_t write = made == HW_MAKE_ANYTHING ? all & ~LANDLOCK_ACCESS_FS_EXECUTE : folders;
	struct landlock_ruleset_attr attributes = {.handled_access_fs = all};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0), failed = 0;

	if (ruleset < 0)
		return -1;
	for (size_t i = 0; i < readables + writables && !failed; i++) {
		struct landlock_path_beneath_attr rule = {
			.parent_fd = i < readables ? readable[i] : writable[i - readables],
			.allowed_access = i < readables ? read : read | write,
		};

		if (!syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
			continue;
		rule.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE; /* it is a file */
		failed = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	}
	if (listable >= 0 && !failed) {
		struct landlock_path_beneath_attr names = {.parent_fd = listable, .allowed_access = LANDLOCK_ACCESS_FS_READ_DIR};

		failed = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &names, 0);
	}
	failed = failed || syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
	return failed ? -1 : 0;
}

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define GIVE(verdict) BPF_STMT(BPF_RET | BPF_K, verdict)
#define REFUSE GIVE(SECCOMP_RET_ERRNO | EPERM)
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define ALLOW(name) IF(SYS_##name, 0, 1), GIVE(SECCOMP_RET_ALLOW)
#define NEVER_STATS 0xfffffffe /* stand where no call and no command has such a number, for what only some may */
#define NEVER_BPF 0xffffffff
#define FIRST_ARGUMENT LOAD(args[0]) /* its lower half, on the little-endian machines that this runs on */

/* What both a sensor and a store need. */
static const struct sock_filter common[] = {
	LOAD(arch),
	IF(HW_AUDIT_ARCH, 1, 0),
	REFUSE,
	LOAD(nr),
	/* memory, threads, time */
	ALLOW(mmap),
	ALLOW(munmap),
	ALLOW(mprotect),
	ALLOW(mremap),
	ALLOW(madvise),
	ALLOW(brk),
	ALLOW(futex),
	ALLOW(set_robust_list),
	ALLOW(rseq),
	ALLOW(membarrier),
	ALLOW(sched_yield),
	ALLOW(sched_getaffinity),
	ALLOW(sched_setaffinity),
	ALLOW(sched_setscheduler),
	ALLOW(sched_getscheduler),
	ALLOW(sched_getparam),
	ALLOW(nanosleep),
	ALLOW(clock_nanosleep),
	ALLOW(clock_gettime),
	ALLOW(clock_getres),
	ALLOW(gettimeofday),
	ALLOW(times),
	ALLOW(getrusage),
	ALLOW(sysinfo),
	ALLOW(getcpu),
	ALLOW(getrandom),
	ALLOW(restart_syscall),
	ALLOW(wait4),
	ALLOW(exit),
	ALLOW(exit_group),
	/* signals, to ourselves: other processes of this user are as strange as anybody's */
	ALLOW(rt_sigaction),
	ALLOW(rt_sigprocmask),
	ALLOW(rt_sigreturn),
	ALLOW(rt_sigtimedwait),
	ALLOW(rt_sigsuspend),
	ALLOW(sigaltstack),
	ALLOW(tgkill),
	ALLOW(kill),
	ALLOW(setitimer),
	ALLOW(getitimer),
	/* who and where we are */
	ALLOW(getpid),
	ALLOW(gettid),
	ALLOW(getppid),
	ALLOW(getuid),
	ALLOW(geteuid),
	ALLOW(getgid),
	ALLOW(getegid),
	ALLOW(getgroups),
	ALLOW(getresuid),
	ALLOW(getresgid),
	ALLOW(uname),
	ALLOW(getcwd),
	ALLOW(umask),
	ALLOW(capget),
	ALLOW(getpgid),
	ALLOW(getsid),
	/* descriptors */
	ALLOW(read),
	ALLOW(write),
	ALLOW(readv),
	ALLOW(writev),
	ALLOW(pread64),
	ALLOW(pwrite64),
	ALLOW(lseek),
	ALLOW(close),
	ALLOW(close_range),
	ALLOW(fstat),
	ALLOW(fcntl),
	ALLOW(flock),
	ALLOW(dup),
	ALLOW(dup3),
	ALLOW(pipe2),
	ALLOW(ioctl),
	ALLOW(ppoll),
	ALLOW(pselect6),
	ALLOW(epoll_create1),
	ALLOW(epoll_ctl),
	ALLOW(epoll_pwait),
	ALLOW(eventfd2),
	ALLOW(timerfd_create),
	ALLOW(timerfd_settime),
	ALLOW(timerfd_gettime),
	ALLOW(memfd_create),
	ALLOW(sendfile),
	ALLOW(copy_file_range),
	/* files, of which Landlock says which */
	ALLOW(openat),
	ALLOW(newfstatat),
	ALLOW(statx),
	ALLOW(getdents64),
	ALLOW(readlinkat),
	ALLOW(faccessat),
	ALLOW(faccessat2),
	ALLOW(ftruncate),
	ALLOW(fallocate),
	ALLOW(fsync),
	ALLOW(fdatasync),
	ALLOW(fadvise64),
	ALLOW(mkdirat),
	ALLOW(unlinkat),
	ALLOW(renameat),
	ALLOW(renameat2),
	ALLOW(statfs),
	ALLOW(fstatfs),
	ALLOW(fchmod),
#ifdef __x86_64__
	ALLOW(getpgrp),
	ALLOW(open),
	ALLOW(stat),
	ALLOW(lstat),
	ALLOW(access),
	ALLOW(readlink),
	ALLOW(poll),
	ALLOW(select),
	ALLOW(epoll_wait),
	ALLOW(dup2),
	ALLOW(pipe),
	ALLOW(unlink),
	ALLOW(rename),
	ALLOW(mkdir),
	ALLOW(time),
	ALLOW(arch_prctl),
#endif
	/* what is sent and received by sockets that there are */
	ALLOW(accept4),
	ALLOW(sendto),
	ALLOW(recvfrom),
	ALLOW(sendmsg),
	ALLOW(recvmsg),
	ALLOW(shutdown),
	ALLOW(getsockname),
	ALLOW(getpeername),
	ALLOW(getsockopt),
	ALLOW(setsockopt),
	ALLOW(socketpair),
	ALLOW(prlimit64),
	/* those that are allowed in part */
	IF(SYS_clone, 0, 4),
	FIRST_ARGUMENT,
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
	GIVE(SECCOMP_RET_ALLOW),
	REFUSE,
	IF(SYS_clone3, 0, 1),
	GIVE(SECCOMP_RET_ERRNO | ENOSYS), /* whose flags cannot be seen here; the C library then takes clone */
	IF(SYS_prctl, 0, 5),
	FIRST_ARGUMENT,
	IF(PR_SET_NAME, 1, 0),
	IF(PR_SET_VMA, 0, 1),
	GIVE(SECCOMP_RET_ALLOW),
	REFUSE,
};

/* New sockets, and BPF. */
static const struct sock_filter sensor[] = {
	ALLOW(connect),
	ALLOW(bind),
	ALLOW(listen),
	ALLOW(accept),
	ALLOW(sendmmsg),
	ALLOW(recvmmsg),
	IF(SYS_socket, 0, 7),
	FIRST_ARGUMENT,
	IF(AF_UNIX, 3, 0),
	IF(AF_INET, 2, 0),
	IF(AF_INET6, 1, 0),
	IF(AF_NETLINK, 0, 1),
	GIVE(SECCOMP_RET_ALLOW),
	REFUSE,
	IF(NEVER_BPF, 0, 1),
	GIVE(SECCOMP_RET_ALLOW),
	IF(SYS_bpf, 0, 12),
	FIRST_ARGUMENT,
	IF(BPF_MAP_LOOKUP_ELEM, 8, 0),
	IF(BPF_MAP_UPDATE_ELEM, 7, 0),
	IF(BPF_MAP_DELETE_ELEM, 6, 0),
	IF(BPF_MAP_GET_NEXT_KEY, 5, 0),
	IF(BPF_PROG_TEST_RUN, 4, 0),
	IF(BPF_LINK_CREATE, 3, 0),
	IF(BPF_LINK_DETACH, 2, 0),
	IF(NEVER_STATS, 1, 0),
	IF(BPF_OBJ_GET_INFO_BY_FD, 0, 1),
	GIVE(SECCOMP_RET_ALLOW),
	REFUSE,
	REFUSE,
};

/* Tables in files, and whoever comes to sockets that are open: nobody is dialled. */
static const struct sock_filter engine[] = {
	ALLOW(listen),
	ALLOW(accept),
	ALLOW(preadv),
	ALLOW(preadv2),
	ALLOW(pwritev),
	ALLOW(pwritev2),
	ALLOW(fchmodat),
	ALLOW(utimensat),
	ALLOW(linkat),
	ALLOW(symlinkat),
	ALLOW(truncate),
	ALLOW(chdir),
	ALLOW(msync),
	ALLOW(mincore),
	ALLOW(mbind),
	ALLOW(get_mempolicy),
	ALLOW(sync_file_range),
	ALLOW(syncfs),
	ALLOW(setpriority),
	ALLOW(getpriority),
	ALLOW(timer_create),
	ALLOW(timer_settime),
	ALLOW(timer_delete),
	ALLOW(timer_getoverrun),
#ifdef __x86_64__
	ALLOW(rmdir),
	ALLOW(link),
	ALLOW(symlink),
	ALLOW(chmod),
#endif
	REFUSE,
};

int hw_seccomp(int allowed)
{
	const struct sock_filter *const more = allowed & HW_ALLOW_ENGINE ? engine : sensor;
	const size_t mores = allowed & HW_ALLOW_ENGINE ? sizeof(engine) / sizeof(*engine) : sizeof(sensor) / sizeof(*sensor);
	struct sock_filter filter[sizeof(common) / sizeof(*common) + (sizeof(engine) + sizeof(sensor)) / sizeof(*sensor)];
	struct sock_fprog program = {.len = sizeof(common) / sizeof(*common) + mores, .filter = filter};

	memcpy(filter, common, sizeof(common));
	memcpy(filter + sizeof(common) / sizeof(*common), more, mores * sizeof(*more));
	for (size_t i = 0; i < program.len; i++) {
		if (filter[i].k == NEVER_STATS && allowed & HW_ALLOW_BPF_STATS)
			filter[i].k = BPF_ENABLE_STATS;
		if (filter[i].k == NEVER_BPF && allowed & HW_ALLOW_BPF)
			filter[i].k = SYS_bpf;
	}
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}
