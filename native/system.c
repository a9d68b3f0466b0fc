/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

#include "headwater.h"

int hw_reserve(int fd, int64_t offset, int64_t length)
{
	int result = fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, length);

	return result && errno == EOPNOTSUPP ? 0 : result; /* pipes and old file systems: the write itself will tell */
}

int hw_unshare_net(void)
{
	return unshare(CLONE_NEWNET);
}

int hw_enter_net(int fd)
{
	return setns(fd, CLONE_NEWNET);
}

int hw_die_with_parent(void)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL);
}
