/* SPDX-License-Identifier: GPL-2.0 */
/* The part of abi.h that is about connections whose bytes go from socket to socket. Include abi.h. */
#ifndef WEFT_ABI_REDIRECT_H
#define WEFT_ABI_REDIRECT_H

/* Connections that can be accelerated at the same time; a power of two. */
#define WEFT_PAIRS 32768

/* Which end of a pair a socket is: pair i has the places 2 * i and 2 * i + 1 of `members`. */
enum weft_end {
	WEFT_END_CLIENT = 0,
	WEFT_END_SERVER = 1,
	WEFT_ENDS = 2,
};

/* Why a send of a pair went by TCP, or why a connection was not made a pair. */
enum weft_slow_reason {
	WEFT_SLOW_NONE = 0,      /* it did not */
	WEFT_SLOW_PAUSED = 1,    /* acceleration is off, on the node or for a workload */
	WEFT_SLOW_NO_PEER = 2,   /* the other end is no member: it does not qualify, or is gone */
	WEFT_SLOW_UNOPENED = 3,  /* the other end's process has not accepted the connection yet */
	WEFT_SLOW_CAP = 4,       /* the reader has not taken what was redirected: TCP makes the writer wait */
	WEFT_SLOW_UNDRAINED = 5, /* the reader has not taken what went by TCP */
	WEFT_SLOW_BLOCKING = 6,  /* an end's descriptor is blocking */
	WEFT_SLOW_OPTION = 7,    /* an end has a ULP, SO_RCVLOWAT or TCP_INQ, or speaks MPTCP */
	WEFT_SLOW_MEMORY = 8,    /* the node's memory for TCP is under pressure */
	WEFT_SLOW_REFUSED = 9,   /* the kernel did not take the redirect */
	WEFT_SLOW_NO_PLACE = 10, /* a connection: its place is another's */
	WEFT_SLOW_CONTROL = 11,  /* a connection: left to TCP, for the others to be compared with */
	WEFT_SLOW_NO_GAIN = 12,  /* a connection: its service is no faster so */
	WEFT_SLOW_REASONS = 13,
};

/* What sockets of a workload were seen to do that keeps them out. */
enum weft_evidence {
	WEFT_EVIDENCE_BLOCKING = 1, /* sent on a blocking descriptor */
	WEFT_EVIDENCE_ULP = 2,
	WEFT_EVIDENCE_LOW_WATER = 4, /* SO_RCVLOWAT above 1 */
	WEFT_EVIDENCE_INQ = 8,       /* TCP_INQ */
	WEFT_EVIDENCE_MPTCP = 16,
	WEFT_EVIDENCE_NO_GAIN = 32, /* of a service: TCP serves its connections as well */
};

/* One direction of a pair: written by its sender alone, under its socket's lock. */
struct weft_direction {
	__u64 redirected_bytes;
	__u64 redirected_sends;
	__u64 demotions;
	__u64 promotions;
	__u64 queue;       /* where the kernel keeps what the reader has not taken; 0: not looked up yet */
	__u32 outstanding; /* redirected bytes that the reader may not have taken yet */
	__u32 fast;        /* what was sent last was redirected */
	__u32 held;        /* the reader gets nothing by TCP before it has taken what was redirected */
	__u32 calm;        /* sends since then that have found everything read */
};

/* What the counters have of a pair. */
struct weft_redirected {
	__u64 bytes;
	__u64 sends;
	__u64 demotions;
	__u64 promotions;
};

/*
 * `pairs`: a connection both of whose ends are on the node and may be redirected to, in the place that the cookie of
 * its client's socket gives it. Nobody takes a socket out of `members`: the kernel does when it is closed.
 */
struct weft_pair {
	__u64 client;           /* cookie of the client's socket; 0: free; all ones: being filled */
	__u64 socks[WEFT_ENDS]; /* where the kernel has the sockets, for the guard to look at; 0: not a member */
	__u32 bases[WEFT_ENDS]; /* sequence numbers of the sockets' first bytes */
	__u64 source;           /* as in weft_acceleration_key */
	__u64 service;
	__u64 destination;
	__u32 evidence; /* enum weft_evidence: nothing is redirected any more */
	__u8 lane;
	__u8 unread; /* what it carries is not read */
	__u8 reserved[2];
	struct weft_direction from[WEFT_ENDS];
	struct weft_redirected counted;
};

/* `ends`: socket-local storage of a member. */
struct weft_member {
	__u64 client; /* of its pair: a later one of the same place is another */
	__u32 pair;
	__u32 end; /* enum weft_end */
};

/*
 * `conduct`, by workload id: an entry is made by the agent and filled by the programs. By service id: it is the agent's
 * alone.
 */
struct weft_conduct {
	__u32 evidence; /* enum weft_evidence, of every member so far */
	__u32 reserved;
	__u64 since_ns; /* when the agent made it: CLOCK_MONOTONIC */
};

/* `acceleration` (per CPU): who talks to whom on connections that may be accelerated. */
struct weft_acceleration_key {
	__u64 source; /* as in weft_traffic_key; WEFT_WORKLOAD_AGENT for connections of the agent */
	__u64 service;
	__u64 destination;
	__u8 lane; /* WEFT_LANE_ACCELERATED, or WEFT_LANE_PROXY for the connections between a workload and the agent */
	__u8 reserved[7];
};

struct weft_acceleration {
	__u64 connections; /* made a pair */
	__u64 slow_connections[WEFT_SLOW_REASONS];
	__u64 slow_sends[WEFT_SLOW_REASONS];
	struct weft_redirected redirected;
};

WEFT_ASSERT(sizeof(struct weft_direction) == 56, "weft_direction");
WEFT_ASSERT(sizeof(struct weft_pair) == 208, "weft_pair");
WEFT_ASSERT(sizeof(struct weft_member) == 16, "weft_member");
WEFT_ASSERT(sizeof(struct weft_conduct) == 16, "weft_conduct");
WEFT_ASSERT(sizeof(struct weft_acceleration_key) == 32, "weft_acceleration_key");
WEFT_ASSERT(sizeof(struct weft_acceleration) == 248, "weft_acceleration");

#endif
