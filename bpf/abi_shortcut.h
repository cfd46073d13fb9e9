/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The part of abi.h that is about requests which go from a client's socket straight into a backend's, decided by the
 * programs, while the agent that stands between them sleeps. Include abi.h.
 *
 * Who decides about a client's next request is a word of its connection that both sides change atomically:
 *
 *   AGENT    the agent reads what the client sends.
 *            -> OFFERED, by the agent: nothing is under way, and it has taken everything that the client has sent.
 *   OFFERED  as AGENT, but the program may take the next request.
 *            -> KERNEL | AWAITING, by the program, with a request that it has sent to a backend.
 *            -> AGENT, by the agent, with a byte that the program has not taken.
 *   KERNEL   the program has taken a request before, and may take the next one.
 *            -> KERNEL | AWAITING, and -> AGENT, as above.
 *   KERNEL | AWAITING
 *            A request has gone to `leg`; nobody else decides about anything until its response has ended.
 *            -> | ANSWERING, by the program: the response has begun, and goes straight to the client to its end.
 *            -> | LEFT, by the program: the response goes to the agent, from its first byte on.
 *   KERNEL | AWAITING | ANSWERING
 *            -> KERNEL, by the program, with the last byte of the response.
 *            -> | LEFT in place of ANSWERING, by the program, if the kernel does not take the first piece.
 *   KERNEL | AWAITING | LEFT
 *            -> AGENT, by the agent, when it has taken the response over.
 *   KERNEL | AWAITING, with or without ANSWERING
 *            -> AGENT, by the agent, when the leg has ended and no response can come any more.
 *
 * The program takes a request only when it is sent in one piece, and everything that the client has sent before has
 * been taken by the agent or by an earlier request: `taken` says up to where. So no byte can be in two hands.
 *
 * The agent may end in any state; a standby process has its sockets too. What is AGENT then was in its hands, and ends
 * with it. With every other word the programs go on as before, and the next agent goes on as if the offer were its own.
 */
#ifndef WEFT_ABI_SHORTCUT_H
#define WEFT_ABI_SHORTCUT_H

/*
 * Clients' connections, and backends', that can have shortcuts at the same time; powers of two. All of this memory is
 * the agent's too.
 */
#define WEFT_SHORTCUTS 8192
#define WEFT_SHORTCUT_PLACES 8192

/* Backends' connections that one client's connection may use. */
#define WEFT_SHORTCUT_LEGS 8

/* Bounds of what is compiled for the programs; what has more is decided by the agent. */
#define WEFT_SHORTCUT_TABLES 128
#define WEFT_SHORTCUT_RULES 48
#define WEFT_SHORTCUT_ROUTES 16
#define WEFT_SHORTCUT_TARGETS 8
#define WEFT_SHORTCUT_CLUSTERS 16

/* Bytes of a path, and of Host's value, that are compared; in words. */
#define WEFT_SHORTCUT_WORDS 8
#define WEFT_SHORTCUT_TEXT (8 * WEFT_SHORTCUT_WORDS)

/* A route or target that stands for: the agent decides. */
#define WEFT_SHORTCUT_AGENT 0xff

enum weft_shortcut_word {
	WEFT_SHORTCUT_OWNER = 3, /* mask of the first three */
	WEFT_SHORTCUT_OF_AGENT = 0,
	WEFT_SHORTCUT_OFFERED = 1,
	WEFT_SHORTCUT_OF_KERNEL = 2,
	WEFT_SHORTCUT_AWAITING = 4,
	WEFT_SHORTCUT_ANSWERING = 8,
	WEFT_SHORTCUT_LEFT = 16,
};

/* Why a request was left to the agent. */
enum weft_shortcut_reason {
	WEFT_SHORTCUT_TAKEN = 0,     /* it was not */
	WEFT_SHORTCUT_STALE = 1,     /* the configuration has changed since the connection was offered */
	WEFT_SHORTCUT_UNSETTLED = 2, /* bytes before it are under way, or a response is */
	WEFT_SHORTCUT_FORM = 3,      /* its head is too long, in pieces, or has what only the agent understands */
	WEFT_SHORTCUT_RULE = 4,      /* the rule that it meets needs the agent */
	WEFT_SHORTCUT_DENIED = 5,    /* a policy denies it, or may: the agent says so */
	WEFT_SHORTCUT_NO_LEG = 6,    /* the connection has no leg to the endpoint that was chosen */
	WEFT_SHORTCUT_CONGESTED = 7, /* the backend has not taken what came before, or may not be redirected to */
	WEFT_SHORTCUT_WATCHED = 8,   /* somebody taps the service */
	WEFT_SHORTCUT_ANSWER = 9,    /* a response: it is long, in chunks that come one by one, an error, or ends
	                                its connection */
	WEFT_SHORTCUT_REASONS = 10,
};

/*
 * `shortcuts`: a client's connection, in the place that its cookie gives it. The agent shares this memory with the
 * programs; each of them writes what its part says, and both the word.
 */
struct weft_shortcut {
	/* By the agent, while the word is its own. */
	__u64 client;     /* cookie of the client's socket; 0: it has none */
	__u32 table;      /* place in `shortcut_tables` */
	__u32 generation; /* of that table */
	__u32 taken;      /* bytes of the client's that the agent has taken from its socket, modulo 2^32 */
	__u32 word;       /* enum weft_shortcut_word; by both */
	__u64 legs[WEFT_SHORTCUT_LEGS]; /* cookies of the agent's sockets towards backends; 0: none */
	__u8 clusters[WEFT_SHORTCUT_LEGS];
	/* By the programs. */
	__u64 requests;    /* taken */
	__u64 sent_bytes;  /* straight into backends */
	__u64 started_ns;  /* the last one */
	__u64 answered_ns; /* its response's first byte */
	__u64 ended_ns;    /* the last byte of the last response */
	__u32 request_body;
	__u8 leg; /* it went to */
	__u8 is_head;
	__u8 route;       /* template, as in weft_requests_key */
	__u8 first_class; /* of the first response */
	__u32 left[WEFT_SHORTCUT_REASONS];
};

/* `shortcut_legs`: an agent's connection to a backend, likewise. */
struct weft_shortcut_leg {
	/* By the agent. */
	__u64 cookie;  /* of the agent's socket; 0: free */
	__u64 client;  /* whose leg it is; 0: nobody's */
	__u64 service; /* as in weft_requests_key */
	__u64 destination;
	__u32 taken;  /* bytes of the backend's that the agent has taken from its socket, modulo 2^32 */
	__u32 number; /* in weft_shortcut.legs */
	/* By the programs. */
	__u64 sent_bytes;   /* straight into the client */
	__u64 responses;    /* that ended so */
	__u64 latency_ns;   /* of all of them, up to their first byte */
	__u32 response_end; /* where the response ends, in what the backend has sent; modulo 2^32 */
	__u16 status;
	__u16 is_unfit; /* nothing can be redirected to it */
	__u64 response_body;
};

enum weft_shortcut_test {
	WEFT_SHORTCUT_ANY_PATH = 0,
	WEFT_SHORTCUT_EXACT = 1,
	WEFT_SHORTCUT_ELEMENTS = 2, /* a prefix that ends where an element of the path does */
	WEFT_SHORTCUT_PREFIX = 3,   /* a prefix of bytes */
};

enum weft_shortcut_kind {
	WEFT_SHORTCUT_DENY = 0,
	WEFT_SHORTCUT_ALLOW = 1,
	WEFT_SHORTCUT_ROUTE = 2,
};

/* Methods that are told apart: bits of weft_shortcut_rule.methods. */
enum weft_shortcut_method {
	WEFT_SHORTCUT_GET = 1,
	WEFT_SHORTCUT_HEAD = 2,
	WEFT_SHORTCUT_POST = 4,
	WEFT_SHORTCUT_PUT = 8,
	WEFT_SHORTCUT_DELETE = 16,
	WEFT_SHORTCUT_PATCH = 32,
	WEFT_SHORTCUT_OPTIONS = 64,
};

struct weft_shortcut_rule {
	__u16 methods; /* enum weft_shortcut_method */
	__u8 kind;     /* enum weft_shortcut_kind */
	__u8 test;     /* enum weft_shortcut_test */
	__u8 length;   /* of the path */
	__u8 route;    /* of a route: its place; or WEFT_SHORTCUT_AGENT */
	__u8 reserved[2];
	__u64 path[WEFT_SHORTCUT_WORDS]; /* zeros behind it */
};

/* Where a route's requests go: the first target whose threshold is above a random number of 32 bits. */
struct weft_shortcut_target {
	__u64 threshold;
	__u8 cluster; /* place in weft_shortcut_table.clusters; or WEFT_SHORTCUT_AGENT */
	__u8 reserved[7];
};

/*
 * `shortcut_tables`: what requests of one workload to one service, with one Host, are subject to. It is written before
 * anybody is told of it, and never changed. Rules are in the order of their precedence: of those that deny and allow
 * first, then of those that route.
 */
struct weft_shortcut_table {
	__u32 generation; /* of the node's configuration; 0: free */
	__u8 rule_count;
	__u8 needs_allow; /* a request that no rule allows is denied */
	__u8 has_templates;
	__u8 host_length;
	__u64 source;                           /* as in weft_requests_key */
	__u64 service;                          /* that the clients ask for */
	__u64 host[WEFT_SHORTCUT_WORDS];        /* Host's value, zeros behind it */
	__u8 endpoints[WEFT_SHORTCUT_CLUSTERS]; /* of each cluster, that requests are spread over */
	struct weft_shortcut_rule rules[WEFT_SHORTCUT_RULES];
	struct weft_shortcut_target routes[WEFT_SHORTCUT_ROUTES][WEFT_SHORTCUT_TARGETS];
	__u64 hits[WEFT_SHORTCUT_RULES]; /* requests that it has allowed and were taken; by the programs */
};

/* `shortcut_node`, one entry. */
struct weft_shortcut_node {
	__u32 generation; /* tables of others are not used any more; 0: no requests are taken */
	__u32 reserved;
};

WEFT_ASSERT(sizeof(struct weft_shortcut) == 184, "weft_shortcut");
WEFT_ASSERT(sizeof(struct weft_shortcut_leg) == 80, "weft_shortcut_leg");
WEFT_ASSERT(sizeof(struct weft_shortcut_rule) == 72, "weft_shortcut_rule");
WEFT_ASSERT(sizeof(struct weft_shortcut_target) == 16, "weft_shortcut_target");
WEFT_ASSERT(sizeof(struct weft_shortcut_node) == 8, "weft_shortcut_node");

#endif
