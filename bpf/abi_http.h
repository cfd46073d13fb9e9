/* SPDX-License-Identifier: GPL-2.0 */
/* The part of abi.h that is about HTTP requests which the programs read on their way. Include abi.h. */
#ifndef WEFT_ABI_HTTP_H
#define WEFT_ABI_HTTP_H

/* Buckets of request times and of body sizes: lib/latency.h has their bounds. */
#define WEFT_LATENCY_BUCKETS 64
#define WEFT_SIZE_BUCKETS 20

/* Length of the part of a request's first line that a tap shows. */
#define WEFT_TAP_LINE 128

/* What became of a request. */
enum weft_request_outcome {
	WEFT_REQUEST_COMPLETE = 0,
	WEFT_REQUEST_CLIENT_ENDED = 1, /* the client ended the connection before the response was complete */
	WEFT_REQUEST_SERVER_ENDED = 2, /* the server did */
	WEFT_REQUEST_UNPARSED = 3,     /* it could not be followed: only its number counts */
};

/* `requests` (per CPU): who asked whom, with which result. All ones is the overflow series. */
struct weft_requests_key {
	__u64 source; /* as in weft_traffic_key */
	__u64 service;
	__u64 destination;
	__u16 status; /* of the response; 0: there was none */
	__u8 lane;
	__u8 reporter;
	__u8 outcome; /* enum weft_request_outcome */
	__u8 route;   /* of the service's route templates, from 1; 0: none */
	__u8 reserved[2];
};

/*
 * `routes`: how the route templates of services are recognised. A request's line is read symbol by symbol (hashes of
 * its method and of the segments of its path, see lib/http1_text.h); from state 0 on each leads to a step.
 */
struct weft_route_key {
	__u64 table;  /* a hash of the templates; with WEFT_SYMBOL_ROOT the service */
	__u64 symbol; /* WEFT_SYMBOL_ANY: whatever has no step of its own */
	__u32 state;
	__u32 reserved;
};

struct weft_route_step {
	__u64 table; /* of a root: what the service has */
	__u32 state; /* 0: no template goes on */
	__u8 route;  /* the template that ends here, from 1; 0: none */
	__u8 rest;   /* the one that takes whatever follows */
	__u8 reserved[2];
};

#define WEFT_SYMBOL_ANY 0ull
#define WEFT_SYMBOL_ROOT 0xffffffffffffffffull

/* The method and the segments of a path that templates may have, together. */
#define WEFT_ROUTE_SYMBOLS 17

/* Microseconds in the buckets of lib/latency.h, not cumulative. */
struct weft_latencies {
	__u64 sum;
	__u64 buckets[WEFT_LATENCY_BUCKETS];
};

/* Bytes of bodies in the buckets of lib/latency.h, not cumulative. */
struct weft_sizes {
	__u64 sum;
	__u64 buckets[WEFT_SIZE_BUCKETS];
};

struct weft_requests {
	__u64 count;
	struct weft_latencies duration;   /* request's first byte seen to response's last */
	struct weft_latencies first_byte; /* request's last byte seen to response's first */
	struct weft_sizes request_body;
	struct weft_sizes response_body;
};

/* `tap`, one entry: which requests are told of one by one, in `taps`. Identifiers of 0 match whatever there is. */
struct weft_tap {
	__u64 until_ns; /* CLOCK_MONOTONIC; 0: nobody asks */
	__u64 source;
	__u64 service;
	__u64 destination;
	__u32 per_second; /* events of one CPU */
	__u32 reserved;
};

enum weft_tap_kind {
	WEFT_TAP_REQUEST = 1,  /* its head has been read: line */
	WEFT_TAP_RESPONSE = 2, /* it has ended: status, outcome, times */
};

/* `taps` (ring buffer). */
struct weft_tap_event {
	__u64 at_ns;
	__u64 cookie; /* with `number`: which request this is about */
	__u64 source;
	__u64 service;
	__u64 destination;
	__u64 duration_us;
	__u64 first_byte_us;
	__u64 request_bytes; /* of the body */
	__u64 response_bytes;
	struct weft_address client_address;
	struct weft_address server_address;
	__be16 client_port;
	__be16 server_port;
	__u32 number; /* of the request on its connection, from 1 */
	__u16 status;
	__u8 kind; /* enum weft_tap_kind */
	__u8 lane;
	__u8 reporter;
	__u8 outcome;
	__u8 line_length;
	__u8 reserved;
	char line[WEFT_TAP_LINE]; /* method, target and version as they came, cut at its end */
};

/* Requests on one connection that wait for their responses and whose times are kept; a power of two. */
#define WEFT_HTTP_TIMED 8

/* Those that are followed at all; a power of two, at most 32. */
#define WEFT_HTTP_FOLLOWED 32

/* Bytes of an unfinished line that wait for the next segment. */
#define WEFT_HTTP_CARRY 40

/* What the next bytes of one direction are. */
enum weft_http_state {
	WEFT_HTTP_START = 0,       /* the start line, or what is before it */
	WEFT_HTTP_FIELDS = 1,      /* a field line of the head, or the line that ends it */
	WEFT_HTTP_CHUNK = 2,       /* a line with a chunk's size */
	WEFT_HTTP_CHUNK_END = 3,   /* the line end behind a chunk */
	WEFT_HTTP_TRAILERS = 4,    /* a line of the trailer section, or the line that ends it */
	WEFT_HTTP_BODY = 5,        /* `remaining` bytes of content */
	WEFT_HTTP_CHUNK_BODY = 6,  /* `remaining` bytes of a chunk's content */
	WEFT_HTTP_UNTIL_CLOSE = 7, /* content, for as long as the connection lasts */
	WEFT_HTTP_HELD = 8,        /* nothing, until CONNECT has been answered */
};

enum weft_http_stream_flags {
	WEFT_HTTP_BEGUN = 1,   /* the first byte of the message's start line has come */
	WEFT_HTTP_LONG = 2,    /* inside of a line whose beginning has been judged, and is gone */
	WEFT_HTTP_SIZED = 4,   /* the head has a Content-Length: `remaining` */
	WEFT_HTTP_CHUNKED = 8, /* the head has a Transfer-Encoding: chunked */
	WEFT_HTTP_CODED = 16,  /* ... another one: the connection's end ends the body */
	WEFT_HTTP_OLD = 32,    /* the version is 1.0 */
};

/* One direction of a connection that speaks HTTP/1. */
struct weft_http_stream {
	__u64 remaining;
	__u64 body;     /* bytes of the message's content so far */
	__u32 expected; /* TCP sequence number of the next byte */
	__u32 busy;     /* somebody reads it: exchanged atomically */
	__u16 status;   /* of the response */
	__u8 state;     /* enum weft_http_state */
	__u8 flags;     /* enum weft_http_stream_flags */
	__u8 carried;   /* bytes in `carry` */
	__u8 reserved[3];
	__u8 carry[WEFT_HTTP_CARRY];
};

/* A request that waits for its response. */
struct weft_http_start {
	__u64 started_ns;
	__u64 ended_ns; /* 0: it has not ended */
	__u64 body;     /* when it has ended */
};

enum weft_exchange_mode {
	WEFT_EXCHANGE_FOLLOWED = 0,
	WEFT_EXCHANGE_LOST = 1,   /* until a request starts where it is clear that one does */
	WEFT_EXCHANGE_OPAQUE = 2, /* for good: something else is spoken here */
};

/*
 * What is kept of a connection that speaks HTTP/1. Its directions are read by two hooks that do not wait for each
 * other: requests are pushed by the one and popped, by an atomic change of `popped`, by the other, or by who ends them
 * all.
 */
struct weft_exchange {
	__u64 cookie; /* of the socket; 0: free */
	__u64 source; /* as in weft_requests_key, to `role` */
	__u64 service;
	__u64 destination;
	__u8 lane;
	__u8 reporter;
	__u8 role;         /* enum weft_socket_role */
	__u8 mode;         /* enum weft_exchange_mode */
	__u8 pipelined;    /* a request has been sent before the one before it was answered */
	__u8 turned;       /* the server has spoken since the client did */
	__u8 restart;      /* a request starts behind a gap: what is kept of the responses is of before it */
	__u8 http_class;   /* of the first response */
	__u32 pushed;      /* requests that have started */
	__u32 popped;      /* that have been answered, or given up */
	__u32 recognised;  /* that have been recognised: of those before `pushed` all but perhaps the last */
	__u32 heads;       /* bit i: request number i modulo 32 is a HEAD request */
	__u32 connects;    /* ... CONNECT */
	__u32 untimed;     /* ... has no place in `starts` */
	__u64 answered_ns; /* the first byte of the response that is being read */
	__u64 templates;   /* of the service, as in weft_route_key; 0: it has none */
	/* Of the requests in `starts`. */
	__u8 routes[WEFT_HTTP_TIMED];
	struct weft_http_stream request;
	struct weft_http_stream response;
	struct weft_http_start starts[WEFT_HTTP_TIMED];
};

WEFT_ASSERT(sizeof(struct weft_requests_key) == 32, "weft_requests_key");
WEFT_ASSERT(sizeof(struct weft_requests) == 1384, "weft_requests");
WEFT_ASSERT(sizeof(struct weft_route_key) == 24, "weft_route_key");
WEFT_ASSERT(sizeof(struct weft_route_step) == 16, "weft_route_step");
WEFT_ASSERT(sizeof(struct weft_tap) == 40, "weft_tap");
WEFT_ASSERT(sizeof(struct weft_tap_event) == 248, "weft_tap_event");

#endif
