/* SPDX-License-Identifier: GPL-2.0 */
/* The part of abi.h that is about watching what applications do with their sockets. Include abi.h. */
#ifndef WEFT_ABI_WATCH_H
#define WEFT_ABI_WATCH_H

/* Numbers of system calls that are looked at are below. */
#define WEFT_WATCH_CALLS 512

/*
 * What a system call is to the watch: `watched_calls` says it by the call's number, which differs between
 * architectures. For those that have flags, the argument that they are in is in the upper four bits.
 */
enum weft_watched_call {
	WEFT_CALL_NONE = 0,
	WEFT_CALL_READ = 1,    /* read, readv */
	WEFT_CALL_WRITE = 2,   /* write, writev, sendfile to the socket */
	WEFT_CALL_RECEIVE = 3, /* recvfrom, recvmsg, recvmmsg */
	WEFT_CALL_SEND = 4,    /* sendto, sendmsg, sendmmsg */
	WEFT_CALL_SPLICE = 5,
	WEFT_CALL_IOCTL = 6,
	WEFT_CALL_GETSOCKOPT = 7,
	WEFT_CALL_MMAP = 8,
};

/* What was seen of a process. */
enum weft_conduct_kind {
	WEFT_CONDUCT_RECEIVED = 0, /* a non-blocking receive, with nothing odd about it */
	WEFT_CONDUCT_SENT = 1,
	WEFT_CONDUCT_BLOCKING = 2, /* a receive or send on a blocking descriptor */
	WEFT_CONDUCT_SPLICE = 3,   /* splice(2) from a socket */
	WEFT_CONDUCT_WAITALL = 4,
	WEFT_CONDUCT_FIONREAD = 5,
	WEFT_CONDUCT_LOW_WATER = 6, /* SO_RCVLOWAT above 1 */
	WEFT_CONDUCT_INQ = 7,       /* TCP_INQ */
	WEFT_CONDUCT_ULP = 8,
	WEFT_CONDUCT_ZEROCOPY_RECEIVE = 9,
	WEFT_CONDUCT_ZEROCOPY_SEND = 10,
	WEFT_CONDUCT_TRUNCATE = 11, /* MSG_TRUNC: bytes are thrown away */
	WEFT_CONDUCT_URGENT = 12,   /* MSG_OOB */
	WEFT_CONDUCT_URING = 13,    /* a transfer of io_uring with a registered file, which may be a socket */
	WEFT_CONDUCT_KINDS = 14,
};

/* A TCP socket as its process has it. */
struct weft_watched_socket {
	struct weft_address local_address;
	struct weft_address peer_address; /* all zero: it listens, or is not connected yet */
	__be16 local_port;
	__be16 peer_port;
	__u8 state;  /* the kernel's TCP states */
	__u8 traits; /* enum weft_socket_trait */
	__u16 reserved;
	__u32 low_water;
	__u32 descriptor;
};

enum weft_socket_trait {
	WEFT_TRAIT_NONBLOCKING = 1, /* O_NONBLOCK of its descriptor */
	WEFT_TRAIT_INQ = 2,
	WEFT_TRAIT_ULP = 4,
};

/* Written by the iterator `descriptors`, one for each TCP socket of a process in the watched cgroup. */
struct weft_watched_descriptor {
	__u64 cgroup;
	__u32 process;
	__u32 reserved;
	struct weft_watched_socket socket;
};

/* `watched`: what a process did, and where it did so first. */
struct weft_watched_key {
	__u64 cgroup; /* the process's own, which is the watched one or below it */
	__u32 process;
	__u32 kind; /* enum weft_conduct_kind */
};

struct weft_watched {
	__u64 count;
	struct weft_watched_socket socket;
	__u32 call;   /* number of the system call, or the opcode of io_uring */
	__u32 detail; /* flags, or what was asked */
};

WEFT_ASSERT(sizeof(struct weft_watched_socket) == 48, "weft_watched_socket");
WEFT_ASSERT(sizeof(struct weft_watched_descriptor) == 64, "weft_watched_descriptor");
WEFT_ASSERT(sizeof(struct weft_watched_key) == 16, "weft_watched_key");
WEFT_ASSERT(sizeof(struct weft_watched) == 64, "weft_watched");

#endif
