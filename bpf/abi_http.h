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

WEFT_ASSERT(sizeof(struct weft_requests_key) == 32, "weft_requests_key");
WEFT_ASSERT(sizeof(struct weft_requests) == 1384, "weft_requests");
WEFT_ASSERT(sizeof(struct weft_tap) == 40, "weft_tap");
WEFT_ASSERT(sizeof(struct weft_tap_event) == 248, "weft_tap_event");

#endif
