// Linux interfaces that Swift's Glibc module does not expose, as plain prototypes (the definitions that need
// _GNU_SOURCE are in clinux.c).
#pragma once

#include "calls.h"
#include "descriptors.h"
#include "kerneltls.h"
#include "listener.h"
#include "peer.h"
#include "scan.h"
#include "shared.h"
#include "sockdiag.h"
#include "sockets.h"
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

/// The file-system type that statfs reports for bpffs and for cgroup v2.
#define WEFT_BPF_FS_MAGIC 0xcafe4a11u
#define WEFT_CGROUP2_MAGIC 0x63677270u

/// accept4(2) without an address. Returns -1 with errno.
int weft_accept(int fd, int flags);

/// setns(2) for a network namespace. Returns -1 with errno.
int weft_enter_netns(int netns_fd);

/// The netns cookie (SO_NETNS_COOKIE) of the namespace that `socket_fd` lives in; 0 where the kernel has none.
uint64_t weft_netns_cookie(int socket_fd);

/// The kernel's id of a cgroup directory (name_to_handle_at), as bpf_get_current_cgroup_id() reports it; 0 with errno.
uint64_t weft_cgroup_id(const char *path);

/// Forks a child into the cgroup `cgroup_fd` (clone3, CLONE_INTO_CGROUP) that connects a UDP socket to `address`
/// (network order) and `port` (host order) and ends. Nothing is sent. Returns the errno of its connect(), 0 if it
/// succeeded, or -1 with errno if the child could not be made.
int weft_connect_in_cgroup(int cgroup_fd, uint32_t address, uint16_t port);

/// Names the calling thread (at most 15 characters count).
void weft_name_thread(const char *name);

/// Gives the pages of the program's own code back to the page cache; those that are still needed come again by
/// themselves, without being read from disk. What only a start needs then no longer counts as the process's memory.
void weft_forget_code(void);

/// Reads errno at once: an intervening release of an object may change it.
static inline int weft_errno(void)
{
	return errno;
}

/// vasprintf(3): the formatted text, to be freed by the caller, or NULL. For C callbacks that take a va_list.
char *weft_format(const char *format, va_list arguments);

/// Raises the soft limit of descriptors (RLIMIT_NOFILE) to the hard one, as far as that is allowed.
static inline void weft_raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/// Sets the soft and hard limit of locked memory (RLIMIT_MEMLOCK). Returns -1 with errno.
static inline int weft_set_memlock_limit(rlim_t bytes)
{
	struct rlimit limit = { bytes, bytes };

	return setrlimit(RLIMIT_MEMLOCK, &limit);
}
