/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The reading of HTTP/1 in what a program sees of a connection: segments, or what a process sends. Who includes this
 * defines READ_FROM, the type of its context, and then locate_bytes() and copy_bytes().
 */
#ifndef WEFT_READING_H
#define WEFT_READING_H

#include "exchange.h"
#include "pair.h"
#include "template.h"

/* Steps through what is read at once: lines, chunks and windows. What takes more is not followed. */
#define STEPS 4096

/* What one processor reads at the same time: one program may interrupt another. */
#define SCANS 3

struct scans {
	__u64 second_ns; /* the beginning of the second for which `told` counts */
	__u32 told;      /* events for the tap */
	__u32 reserved;
	struct {
		__u32 busy;
		__u32 reserved;
		struct weft_http_scan scan;
	} places[SCANS];
};

/* Room to read in. It is not pinned: each version of the programs has its own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scans);
} http_scans SEC(".maps");

struct reading {
	READ_FROM *from;
	struct tcp_sock *tcp;
	struct weft_exchange *exchange;
	struct weft_http_stream *stream;
	struct weft_http_scan *scan;
	__u32 offset; /* of what is read now, behind what has been seen of it */
	__u32 base;   /* for locate_bytes() */
	__u32 response;
	__u32 at_server; /* `tcp` is the server's end */
};

/* Where bytes of what is read are, for copy_bytes(); negative when they are not. */
static __always_inline __s64 locate_bytes(struct reading *reading, __u32 from, __u32 length);

/* Copies located bytes; returns 0 when that was done. */
static __always_inline int copy_bytes(struct reading *reading, __s64 place, void *to, __u32 length);

/* The state of a connection whose requests are read; NULL if they are not. */
static __always_inline struct weft_connection *read_connection(struct tcp_sock *tcp, __u64 cookie)
{
	struct weft_young *young = young_find(cookie);
	struct weft_connection *connection;

	if (young) {
		connection = &young->connection;
	} else {
		struct weft_socket *socket = bpf_sk_storage_get(&sockets, tcp, 0, 0);

		if (!socket)
			return NULL;
		connection = &socket->connection;
	}
	if ((connection->lane != WEFT_LANE_KERNEL && connection->lane != WEFT_LANE_ACCELERATED &&
	     connection->lane != WEFT_LANE_TUNNEL) ||
	    connection->role == WEFT_ROLE_NONE || connection->flags & WEFT_SOCKET_OPAQUE)
		return NULL;
	return connection;
}

static __always_inline int load(struct reading *reading)
{
	struct weft_http_scan *scan = reading->scan;
	__s64 place = locate_bytes(reading, reading->offset + scan->offset, scan->wanted);
	__u32 wanted = scan->wanted, end = scan->end;

	if (place < 0 || end > WEFT_HTTP_CARRY || wanted == 0 || wanted > WEFT_HTTP_WINDOW)
		return 0;
	/* This changes nothing; kernels before 6.7 want to see that it is not 0. */
	barrier_var(wanted);
	wanted = ((wanted - 1) & (WEFT_HTTP_WINDOW - 1)) + 1;
	if (copy_bytes(reading, place, &scan->window[end], wanted))
		return 0;
	weft_http_loaded(scan);
	return 1;
}

/* Whether somebody wants to be told of an exchange's requests, and may be now. */
static __always_inline int is_tapped(const struct weft_exchange *exchange, __u64 now)
{
	__u32 zero = 0;
	struct weft_tap *wanted = bpf_map_lookup_elem(&tap, &zero);
	struct scans *scans;

	if (!wanted || wanted->until_ns <= now)
		return 0;
	if ((wanted->source && wanted->source != exchange->source) ||
	    (wanted->service && wanted->service != exchange->service) ||
	    (wanted->destination && wanted->destination != exchange->destination))
		return 0;
	scans = bpf_map_lookup_elem(&http_scans, &zero);
	if (!scans)
		return 0;
	if (now - scans->second_ns >= 1000000000) {
		scans->second_ns = now;
		scans->told = 0;
	}
	if (scans->told >= wanted->per_second) {
		count_node(WEFT_COUNT_TAPS_LOST);
		return 0;
	}
	scans->told++;
	return 1;
}

/* Tells of a request whose line has been read, or of a response that has ended. */
static __noinline void tell(struct reading *reading, __u8 kind)
{
	const struct weft_exchange *exchange = reading->exchange;
	const struct weft_http_scan *scan = reading->scan;
	struct weft_tap_event *event;
	__u32 length = scan->text_length;

	if (!is_tapped(exchange, scan->now_ns))
		return;
	event = bpf_ringbuf_reserve(&taps, sizeof(*event), 0);
	if (!event) {
		count_node(WEFT_COUNT_TAPS_LOST);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->at_ns = scan->now_ns;
	event->cookie = exchange->cookie;
	event->source = exchange->source;
	event->service = exchange->service;
	event->destination = exchange->destination;
	event->kind = kind;
	event->lane = exchange->lane;
	event->reporter = exchange->reporter;
	if (reading->at_server)
		socket_ends(common_of(reading->tcp), &event->server_address, &event->server_port,
		            &event->client_address, &event->client_port);
	else
		socket_ends(common_of(reading->tcp), &event->client_address, &event->client_port,
		            &event->server_address, &event->server_port);
	if (kind == WEFT_TAP_REQUEST) {
		event->number = exchange->pushed;
		if (length > WEFT_TAP_LINE)
			length = WEFT_TAP_LINE;
		event->line_length = length;
		bpf_probe_read_kernel(event->line, length, weft_http_at(scan, scan->text));
	} else {
		event->number = scan->answer.number;
		event->status = scan->answer.status;
		event->duration_us = weft_microseconds(scan->answer.duration_ns);
		event->first_byte_us = weft_microseconds(scan->answer.first_byte_ns);
		event->request_bytes = scan->answer.request_body;
		event->response_bytes = scan->answer.response_body;
		event->outcome = scan->answer.timed ? WEFT_REQUEST_COMPLETE : WEFT_REQUEST_UNPARSED;
	}
	bpf_ringbuf_submit(event, 0);
}

/* Notes which of its service's route templates a request meets whose line is there. */
static __always_inline void take_template(struct weft_exchange *exchange, struct weft_http_scan *scan)
{
	if (exchange->templates && scan->text_length)
		weft_http_take_route(exchange, template_of(scan, exchange->templates));
}

static long read_step(__u32 index, struct reading *reading)
{
	struct weft_exchange *exchange = reading->exchange;
	struct weft_http_scan *scan = reading->scan;
	long go_on = 0;

	/* The compiler would return the event, which is 0 there, and kernels before 6.2 do not see that it is. */
	barrier_var(go_on);
	switch (weft_http_step(exchange, scan, reading->response)) {
	case WEFT_HTTP_GO:
		return go_on;
	case WEFT_HTTP_BEGINNING:
		take_template(exchange, scan);
		return go_on;
	case WEFT_HTTP_REQUEST:
		take_template(exchange, scan);
		tell(reading, WEFT_TAP_REQUEST);
		return go_on;
	case WEFT_HTTP_LOAD:
		if (load(reading))
			return go_on;
		break;
	case WEFT_HTTP_ANSWERED:
		count_answer(exchange, &scan->answer, WEFT_REQUEST_COMPLETE);
		tell(reading, WEFT_TAP_RESPONSE);
		return go_on;
	case WEFT_HTTP_DONE:
		return 1;
	}
	count_unparsed(exchange, weft_http_lose(exchange, reading->response));
	return 1;
}

/* Whether a request starts at the beginning of a segment, which is at the beginning of the window. */
static __always_inline int starts_request(const struct weft_http_scan *scan)
{
	return weft_http_method(scan, 0, scan->end) != WEFT_HTTP_NO_METHOD;
}

/*
 * After a gap: a client that has waited for the server starts with a new request, if with anything that looks like one.
 * Returns 0 if it does not.
 */
static __always_inline int resume(struct reading *reading, __u32 length, __u64 now)
{
	struct weft_exchange *exchange = reading->exchange;
	struct weft_http_scan *scan = reading->scan;

	if (reading->response) {
		exchange->turned = 1;
		return 0;
	}
	if (!exchange->turned)
		return 0;
	exchange->turned = 0;
	exchange->request.carried = 0;
	weft_http_open(exchange, scan, 0, length, now);
	scan->wanted = length < WEFT_HTTP_WINDOW ? length : WEFT_HTTP_WINDOW;
	if (!load(reading) || !starts_request(scan))
		return 0;
	weft_http_resume(exchange);
	return 1;
}

/* Room for the exchange of a connection, its own until `cookie` is set; NULL if there is none. */
static __noinline struct weft_exchange *exchange_take(struct tcp_sock *tcp, struct weft_connection *connection,
                                                      __u64 cookie)
{
	struct weft_exchange *exchange = exchange_place(cookie);

	if (exchange && !__sync_val_compare_and_swap(&exchange->cookie, 0, EXCHANGE_CHANGING))
		return exchange;
	exchange = bpf_sk_storage_get(&exchange_socks, tcp, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (exchange)
		__sync_fetch_and_or(&connection->flags, WEFT_SOCKET_EXCHANGE);
	return exchange;
}

static __always_inline void exchange_begin(struct weft_exchange *exchange, const struct weft_connection *connection,
                                           __u64 cookie, __u32 request_expected, __u32 response_expected)
{
	__builtin_memset(&exchange->source, 0,
	                 __builtin_offsetof(struct weft_exchange, starts) -
	                     __builtin_offsetof(struct weft_exchange, source));
	exchange->source = connection->source;
	exchange->service = connection->service;
	exchange->destination = connection->destination;
	exchange->lane = connection->lane;
	exchange->reporter = connection_reporter(connection);
	exchange->role = connection->role;
	exchange->templates = templates_of(connection->service);
	exchange->request.expected = request_expected;
	exchange->response.expected = response_expected;
	exchange->restart = connection->role == WEFT_ROLE_SERVER;
	__sync_lock_test_and_set(&exchange->cookie, cookie);
}

/* Whether what is read, the first of its connection, may begin a request; its beginning is in the window then. */
static __always_inline int begins_request(struct reading *reading, __u32 length)
{
	struct weft_http_scan *scan = reading->scan;

	scan->length = length;
	scan->offset = 0;
	scan->line = 0;
	scan->next = 0;
	scan->end = 0;
	scan->wanted = length < WEFT_HTTP_WINDOW ? length : WEFT_HTTP_WINDOW;
	return load(reading) && starts_request(scan);
}

/* Whether a connection has carried something beside TCP. */
static __always_inline int is_redirected(const struct weft_connection *connection, __u64 client)
{
	const struct weft_pair *pair = connection->flags & WEFT_SOCKET_PAIRED ? pair_of(client) : NULL;

	return pair && (pair->from[WEFT_END_CLIENT].redirected_sends || pair->from[WEFT_END_SERVER].redirected_sends);
}

/* Takes room to read in; NULL if programs that this one has interrupted have all. */
static __always_inline struct weft_http_scan *scan_take(__u32 **busy)
{
	__u32 zero = 0;
	struct scans *scans = bpf_map_lookup_elem(&http_scans, &zero);

	if (!scans)
		return NULL;
	for (int i = 0; i < SCANS; i++) {
		if (!__sync_lock_test_and_set(&scans->places[i].busy, 1)) {
			*busy = &scans->places[i].busy;
			return &scans->places[i].scan;
		}
	}
	return NULL;
}

#endif
