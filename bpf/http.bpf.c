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

#define READ_FROM struct __sk_buff
#include "reading.h"

char _license[] SEC("license") = "GPL";

#define PASS 1
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define TCP_HEADER 20
#define TCP_SYN 2

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

static __always_inline __s64 locate_bytes(struct reading *reading, __u32 from, __u32 length)
{
	return from;
}

static __always_inline int copy_bytes(struct reading *reading, __s64 place, void *to, __u32 length)
{
	return bpf_skb_load_bytes(reading->from, place, to, length);
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

	reading->offset = segment->payload;
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
		reading->offset += skip;
		weft_http_open(exchange, scan, reading->response, segment->length - skip, now);
	}
	if (bpf_loop(STEPS, read_step, reading, 0) >= STEPS)
		count_unparsed(exchange, weft_http_lose(exchange, reading->response));
	return 0;
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
static __noinline struct weft_exchange *recognise(struct reading *reading, const struct segment *segment)
{
	struct tcp_sock *tcp = reading->tcp;
	__u64 cookie = cookie_of(tcp);
	struct weft_connection *connection = read_connection(tcp, cookie);
	struct weft_exchange *exchange = NULL;

	if (!connection)
		return NULL;
	reading->offset = segment->payload;
	if (segment->egress == (connection->role == WEFT_ROLE_CLIENT) && is_first(tcp, segment) &&
	    !is_redirected(connection, cookie) && begins_request(reading, segment->length))
		exchange = exchange_take(tcp, connection, cookie);
	if (exchange)
		/* What a server sends comes here in its order. */
		exchange_begin(exchange, connection, cookie, segment->sequence, tcp->rcv_nxt);
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

static __always_inline int pass_segment(struct __sk_buff *skb, int egress)
{
	struct reading reading = { .from = skb };
	struct weft_connection *connection;
	struct bpf_sock *sk;
	struct segment segment = { .egress = egress };
	struct tcp_sock *tcp;
	__u32 *busy = NULL;
	__u64 cookie;
	int known;

	/* What makes and ends connections, and acknowledges, carries nothing: whose it is need not be known. */
	if (!find_payload(skb, &segment))
		return PASS;
	sk = skb->sk;
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
	reading.scan = scan_take(&busy);
	if (!reading.scan)
		return PASS;
	if (!known)
		reading.exchange = recognise(&reading, &segment);
	if (reading.exchange) {
		reading.at_server = reading.exchange->role == WEFT_ROLE_SERVER;
		read_in_turn(&reading, &segment, !known);
	}
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
