/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests and responses in plain HTTP/1 on the connections of the mesh, read as their segments pass (cgroup_skb) and
 * counted in `requests`. Nothing is copied to user space, held back or changed, and no verdict of anybody is changed.
 *
 * A connection is read where it is tracked: within the node at its client's end, for both; with a client on another
 * node at its server's end. Every other socket is told by its cookie, and what speaks something else by its first
 * bytes.
 *
 * What a socket sends is read under its lock. What it receives is not, and may come on two processors at once.
 */
#include "kernel.h"

#include "exchange.h"

char _license[] SEC("license") = "GPL";

#define PASS 1
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define TCP_HEADER 20
#define TCP_SYN 2

/* Steps through one segment: lines, chunks and windows. What takes more is not followed. */
#define STEPS 4096

/* Segments that one processor reads at the same time: one program may interrupt another. */
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

/* A segment's place in its direction and in its packet. */
struct segment {
	__u32 sequence;
	__u32 payload;
	__u32 length;
	__u32 egress;
};

/* Finds the payload of a segment; 0 if it has none. Headers are in the packet's linear part, with TCP and without. */
static __always_inline int find_payload(struct __sk_buff *skb, struct segment *segment)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 *packet = data, *tcp;
	__u32 header;

	if (data + IPV4_HEADER > end)
		return 0;
	if (packet[0] >> 4 == 4) {
		header = (packet[0] & 0xf) * 4;
		if (packet[9] != IPPROTO_TCP)
			return 0;
	} else {
		/* Extension headers are not followed: what they carry is a gap. */
		header = IPV6_HEADER;
		if (packet[6] != IPPROTO_TCP)
			return 0;
	}
	tcp = packet + header;
	if ((void *)tcp + TCP_HEADER > end)
		return 0;
	segment->payload = header + (tcp[12] >> 4) * 4;
	if (skb->len <= segment->payload)
		return 0;
	segment->length = skb->len - segment->payload;
	segment->sequence = bpf_ntohl(*(__be32 *)(tcp + 4)) + (tcp[13] & TCP_SYN ? 1 : 0);
	return 1;
}

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
	if ((connection->lane != WEFT_LANE_KERNEL && connection->lane != WEFT_LANE_TUNNEL) ||
	    connection->role == WEFT_ROLE_NONE || connection->flags & WEFT_SOCKET_OPAQUE)
		return NULL;
	return connection;
}

struct reading {
	struct __sk_buff *skb;
	struct tcp_sock *tcp;
	struct weft_exchange *exchange;
	struct weft_http_stream *stream;
	struct weft_http_scan *scan;
	__u32 payload; /* of the segment, behind what has been seen of it */
	__u32 response;
};

static __always_inline int load(struct __sk_buff *skb, __u32 payload, struct weft_http_scan *scan)
{
	__u32 wanted = scan->wanted, end = scan->end;

	if (end > WEFT_HTTP_CARRY || wanted == 0 || wanted > WEFT_HTTP_WINDOW)
		return 0;
	/* This changes nothing; kernels before 6.7 want to see that it is not 0. */
	barrier_var(wanted);
	wanted = ((wanted - 1) & (WEFT_HTTP_WINDOW - 1)) + 1;
	if (bpf_skb_load_bytes(skb, payload + scan->offset, &scan->window[end], wanted))
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
	if (exchange->role == WEFT_ROLE_SERVER)
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
	case WEFT_HTTP_REQUEST:
		tell(reading, WEFT_TAP_REQUEST);
		return go_on;
	case WEFT_HTTP_LOAD:
		if (load(reading->skb, reading->payload, scan))
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
	if (!load(reading->skb, reading->payload, scan) || !starts_request(scan))
		return 0;
	weft_http_resume(exchange);
	return 1;
}

/* Reads a segment of a connection that is followed. `fresh`: its beginning is in the window. */
static __noinline int read_segment(struct reading *reading, const struct segment *segment, __u32 fresh)
{
	struct tcp_sock *tcp = reading->tcp;
	struct weft_exchange *exchange = reading->exchange;
	struct weft_http_stream *stream = reading->stream;
	struct weft_http_scan *scan = reading->scan;
	/* TCP has looked at the clock when it sent this. */
	__u64 now = segment->egress ? tcp->tcp_clock_cache : bpf_ktime_get_ns();
	__u32 skip = 0;

	reading->payload = segment->payload;
	if (fresh) {
		scan->now_ns = now;
		stream->expected = segment->sequence + segment->length;
	} else if (exchange->mode == WEFT_EXCHANGE_LOST) {
		__s32 ahead = segment->sequence - stream->expected;

		if (ahead < 0)
			return 0;
		stream->expected = segment->sequence + segment->length;
		if (!resume(reading, segment->length, now))
			return 0;
	} else {
		if (reading->response && exchange->restart)
			weft_http_resume_responses(exchange, segment->sequence);
		/* TCP drops what is outside of the window, whoever has sent it. */
		if (!segment->egress &&
		    (__s32)(segment->sequence + segment->length - tcp->rcv_nxt) > (__s32)tcp->rcv_wnd)
			return 0;
		switch (weft_http_place(stream, segment->sequence, segment->length, &skip)) {
		case WEFT_HTTP_NEW:
			break;
		case WEFT_HTTP_SEEN:
			return 0;
		case WEFT_HTTP_GAP:
			stream->expected = segment->sequence + segment->length;
			count_unparsed(exchange, weft_http_lose(exchange, reading->response));
			return 0;
		}
		reading->payload += skip;
		weft_http_open(exchange, scan, reading->response, segment->length - skip, now);
	}
	if (bpf_loop(STEPS, read_step, reading, 0) >= STEPS)
		count_unparsed(exchange, weft_http_lose(exchange, reading->response));
	return 0;
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
                                           const struct tcp_sock *tcp, const struct segment *segment)
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
	exchange->request.expected = segment->sequence;
	/* What a server sends comes here in its order. */
	exchange->response.expected = tcp->rcv_nxt;
	exchange->restart = connection->role == WEFT_ROLE_SERVER;
	__sync_lock_test_and_set(&exchange->cookie, cookie_of((struct tcp_sock *)tcp));
}

/* Whether this is the first that a connection carries in its direction. */
static __always_inline int is_first(const struct tcp_sock *tcp, const struct segment *segment)
{
	/* TCP has counted what it sends now, and not what it receives. */
	return segment->egress ? tcp->bytes_sent == segment->length
	                       : tcp->bytes_received == 0 && tcp->rcv_nxt == segment->sequence;
}

/*
 * The first bytes of a connection: its client's, if they may begin a request, open an exchange. Anything else is left
 * alone from here on.
 */
static __noinline struct weft_exchange *recognise(struct __sk_buff *skb, struct tcp_sock *tcp,
                                                  const struct segment *segment, struct weft_http_scan *scan)
{
	__u64 cookie = cookie_of(tcp);
	struct weft_connection *connection = read_connection(tcp, cookie);
	struct weft_exchange *exchange = NULL;

	if (!connection)
		return NULL;
	scan->length = segment->length;
	scan->offset = 0;
	scan->line = 0;
	scan->next = 0;
	scan->end = 0;
	scan->wanted = segment->length < WEFT_HTTP_WINDOW ? segment->length : WEFT_HTTP_WINDOW;
	if (segment->egress == (connection->role == WEFT_ROLE_CLIENT) && is_first(tcp, segment) &&
	    load(skb, segment->payload, scan) && starts_request(scan))
		exchange = exchange_take(tcp, connection, cookie);
	if (exchange)
		exchange_begin(exchange, connection, tcp, segment);
	else
		__sync_fetch_and_or(&connection->flags, WEFT_SOCKET_OPAQUE);
	return exchange;
}

/* Reads a segment, if nobody else reads its direction now: then its bytes are a gap. */
static __always_inline void read_in_turn(struct reading *reading, const struct segment *segment, int fresh)
{
	struct weft_exchange *exchange = reading->exchange;

	reading->response = segment->egress == (exchange->role == WEFT_ROLE_SERVER);
	reading->stream = reading->response ? &exchange->response : &exchange->request;
	if (segment->egress) {
		read_segment(reading, segment, fresh);
		return;
	}
	if (__sync_lock_test_and_set(&reading->stream->busy, 1))
		return;
	/* It may have ended in the meantime. */
	if (exchange->cookie == cookie_of(reading->tcp))
		read_segment(reading, segment, fresh);
	__sync_lock_test_and_set(&reading->stream->busy, 0);
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

static __always_inline int pass_segment(struct __sk_buff *skb, int egress)
{
	struct reading reading = { .skb = skb };
	struct weft_connection *connection;
	struct bpf_sock *sk = skb->sk;
	struct segment segment = { .egress = egress };
	struct tcp_sock *tcp;
	__u32 *busy = NULL;
	__u64 cookie;
	int known;

	if (!sk)
		return PASS;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return PASS;
	cookie = cookie_of(tcp);
	if (!cookie)
		return PASS;
	reading.tcp = tcp;
	reading.exchange = exchange_place(cookie);
	if (!reading.exchange)
		return PASS;
	known = reading.exchange->cookie == cookie;
	if (!known) {
		connection = read_connection(tcp, cookie);
		if (!connection)
			return PASS;
		if (connection->flags & WEFT_SOCKET_EXCHANGE) {
			reading.exchange = bpf_sk_storage_get(&exchange_socks, tcp, 0, 0);
			if (!reading.exchange)
				return PASS;
			known = reading.exchange->cookie == cookie;
		}
	}
	if (known && reading.exchange->mode == WEFT_EXCHANGE_OPAQUE)
		return PASS;
	if (!find_payload(skb, &segment))
		return PASS;
	reading.scan = scan_take(&busy);
	if (!reading.scan)
		return PASS;
	if (!known)
		reading.exchange = recognise(skb, tcp, &segment, reading.scan);
	if (reading.exchange)
		read_in_turn(&reading, &segment, !known);
	/* Nobody but this processor looks at it. */
	*(volatile __u32 *)busy = 0;
	return PASS;
}

SEC("cgroup_skb/egress")
int http_out(struct __sk_buff *skb)
{
	return pass_segment(skb, 1);
}

SEC("cgroup_skb/ingress")
int http_in(struct __sk_buff *skb)
{
	return pass_segment(skb, 0);
}
