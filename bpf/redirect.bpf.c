/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a member of a pair sends goes from its socket straight into the other's (sk_msg), where and as long as that is
 * provably right; otherwise by TCP, as if this program were not there. Only members meet it.
 *
 * A direction is fast or slow.
 * - Slow to fast: only when the reader has taken everything that went by TCP, or bytes would overtake others. For that
 *   the reader's socket is looked at: what it has received is what the sender has written, and is copied.
 * - Fast to slow: at any time, because a reader takes what was redirected before what came by TCP.
 * - What was redirected and not taken is bounded: beyond the cap a direction is slow, and TCP makes the writer wait.
 * - A redirect that the kernel does not take goes by TCP: its refusal would be the application's error.
 * - A read never returns bytes of both kinds. One that waits for edges (EPOLLET) may take a short read for the last
 * one, and gets no edge for what is there already: so nothing reaches it by TCP while it has redirected bytes to take.
 * Its segments are dropped, which TCP makes good, and its direction stays slow until it is calm.
 *
 * The other end's socket is known by its address, which pair.h has put down. It may be gone: whatever is read there
 * then, the kernel finds nobody to redirect to.
 */
#include "kernel.h"

#define READ_FROM struct sk_msg_md
#include "reading.h"

char _license[] SEC("license") = "GPL";

/* Larger sends, and one of so many, are worth a look at what is rarely otherwise. */
#define LARGE 16384
#define RARELY 16

/* Epoll instances of one descriptor that are looked at. */
#define WATCHERS 4

/* Sends that have to find everything read, one after the other, before a direction that was held is fast again. */
#define CALM 32

#define PASS 1
#define DROP 0
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define TCP_HEADER 20

/* Copies a field of a structure that is known by its address. */
#define FIELD(type, address, field, to)                                                                                \
	bpf_probe_read_kernel(to, sizeof(*(to)), (void *)(address) + bpf_core_field_offset(type, field))

/* In bytes from where the message's visible part begins: its address may change before they are copied. */
static __always_inline __s64 locate_bytes(struct reading *reading, __u32 from, __u32 length)
{
	struct sk_msg_md *message = reading->from;
	__u32 present = (__u64)message->data_end - (__u64)message->data;

	if (from >= reading->base && from - reading->base + length <= present)
		return from - reading->base;
	/* Elsewhere in the message: the kernel shows it in one piece. */
	if (bpf_msg_pull_data(message, from, from + length, 0))
		return -1;
	reading->base = from;
	return 0;
}

static __always_inline int copy_bytes(struct reading *reading, __s64 place, void *to, __u32 length)
{
	return bpf_probe_read_kernel(to, length, (void *)(__u64)reading->from->data + place);
}

/* Where the kernel keeps what is redirected to a member and not taken yet; 0: it is no member any more. */
static __always_inline __u64 queue_of(__u64 reader)
{
	__u64 psock = 0;

	FIELD(struct sock, reader, sk_user_data, &psock);
	psock &= ~SK_USER_DATA_FLAGS;
	return psock ? psock + bpf_core_field_offset(struct sk_psock, ingress_msg) : 0;
}

/* Whether a list in the kernel's memory is empty. */
static __always_inline int is_empty(__u64 list)
{
	__u64 first = 0;

	bpf_probe_read_kernel(&first, sizeof(first), (void *)list);
	return first == list;
}

/* Whether an end has read all that the other has written to TCP. */
static __always_inline int has_read_tcp(__u64 reader, __u64 writer)
{
	__u32 written = 0, received = 0, copied = 0;

	FIELD(struct tcp_sock, writer, write_seq, &written);
	FIELD(struct tcp_sock, reader, rcv_nxt, &received);
	FIELD(struct tcp_sock, reader, copied_seq, &copied);
	return received == written && copied == received;
}

/* The other end's descriptor; 0 if no process has one yet. */
static __always_inline __u64 file_of(__u64 reader)
{
	__u64 socket = 0, file = 0;

	FIELD(struct sock, reader, sk_socket, &socket);
	if (socket)
		FIELD(struct socket, socket, file, &file);
	return file;
}

static __always_inline __u32 flags_of(__u64 file)
{
	__u32 flags = 0;

	if (file)
		FIELD(struct file, file, f_flags, &flags);
	return flags;
}

/*
 * Whether some epoll instance tells of a descriptor's edges only; `unknown` when none has it, which then tells once of
 * all that is there.
 */
static __noinline int waits_for_edges(__u64 file, int unknown)
{
	__u64 instances = 0, link = 0;

	if (file)
		FIELD(struct file, file, f_ep, &instances);
	if (instances)
		FIELD(struct hlist_head, instances, first, &link);
	if (!link)
		return unknown;
	for (int i = 0; i < WATCHERS && link; i++) {
		__u32 events = 0;

		FIELD(struct epitem, link - bpf_core_field_offset(struct epitem, fllink), event.events, &events);
		if (events & EPOLLET)
			return 1;
		FIELD(struct hlist_node, link, next, &link);
	}
	/* More are not looked at. */
	return link != 0;
}

/* Whether something has been put between the other end and its reader, as TLS in the kernel. */
static __always_inline int has_ulp(__u64 reader)
{
	__u64 ulp = 0;

	FIELD(struct inet_connection_sock, reader, icsk_ulp_ops, &ulp);
	return ulp != 0;
}

static __always_inline int has_low_water(__u64 reader)
{
	int low_water = 0;

	FIELD(struct sock, reader, sk_rcvlowat, &low_water);
	return low_water > 1;
}

static __always_inline int memory_is_short(const struct tcp_sock *tcp)
{
	struct proto *protocol = tcp->inet_conn.icsk_inet.sk.__sk_common.skc_prot;
	unsigned long *where = protocol->memory_pressure;
	unsigned long pressure = 0;

	bpf_probe_read_kernel(&pressure, sizeof(pressure), where);
	return pressure != 0;
}

/* Whether an end may still be redirected to and from: the agent takes workloads off while their connections are open.
 */
static __always_inline int is_admitted(__u64 id)
{
	struct weft_workload *workload;

	if (!id || id == WEFT_WORKLOAD_AGENT)
		return 1;
	workload = bpf_map_lookup_elem(&workloads, &id);
	return workload && workload->flags & WEFT_WORKLOAD_ACCELERATED;
}

/* Puts down what a workload's socket was seen to do: its pair is slow for good, and the agent takes the workload off.
 */
static __noinline int retire(struct weft_pair *pair, __u32 end, __u32 evidence)
{
	__u64 workload = end == WEFT_END_CLIENT || pair->source == WEFT_WORKLOAD_AGENT ? pair->source : 0;
	struct weft_conduct *seen;

	if (end == WEFT_END_SERVER)
		workload = pair->destination;
	__sync_fetch_and_or(&pair->evidence, evidence);
	seen = bpf_map_lookup_elem(&conduct, &workload);
	if (seen && (seen->evidence & evidence) != evidence)
		__sync_fetch_and_or(&seen->evidence, evidence);
	return 0;
}

/* Why nothing that an end sends may be redirected: enum weft_slow_reason. */
static __always_inline __u32 sender_reason(struct weft_pair *pair, struct tcp_sock *sender, __u32 end,
                                           const struct weft_settings *node)
{
	__u32 seen;

	if (pair->evidence)
		return pair->evidence & WEFT_EVIDENCE_BLOCKING ? WEFT_SLOW_BLOCKING : WEFT_SLOW_OPTION;
	if (!node->acceleration)
		return WEFT_SLOW_PAUSED;
	seen = socket_options(sender);
	if (!(descriptor_flags(sender) & O_NONBLOCK))
		seen |= WEFT_EVIDENCE_BLOCKING;
	if (!seen)
		return WEFT_SLOW_NONE;
	retire(pair, end, seen);
	return seen & WEFT_EVIDENCE_BLOCKING ? WEFT_SLOW_BLOCKING : WEFT_SLOW_OPTION;
}

/*
 * Why `size` bytes may not be redirected to an end's reader: enum weft_slow_reason. `writer`: the end's socket, if it
 * is not the sender's.
 */
static __always_inline __u32 reader_reason(struct weft_pair *pair, struct weft_direction *direction, __u64 writer,
                                           struct tcp_sock *sender, __u32 end, __u32 size,
                                           const struct weft_settings *node)
{
	__u64 reader = pair->socks[!end];
	__u32 seen;
	int taken;

	if (!reader)
		return WEFT_SLOW_NO_PEER;
	if (has_ulp(reader))
		return WEFT_SLOW_OPTION;
	/* These do not change the bytes: it is enough to see them soon. */
	if (!direction->fast || size > LARGE || direction->redirected_sends % RARELY == 0) {
		if (!is_admitted(pair->source) || !is_admitted(pair->destination))
			return WEFT_SLOW_PAUSED;
		if (has_low_water(reader))
			return WEFT_SLOW_OPTION;
		if (memory_is_short(sender))
			return WEFT_SLOW_MEMORY;
	}

	if (!direction->queue)
		direction->queue = queue_of(reader);
	if (!direction->queue)
		return WEFT_SLOW_NO_PEER;
	taken = is_empty(direction->queue);
	if (taken)
		direction->outstanding = 0;
	if (direction->outstanding + size > node->redirect_cap)
		return WEFT_SLOW_CAP;
	if (direction->fast)
		return WEFT_SLOW_NONE;

	/* In this order: what is redirected meanwhile is the sender's, who is here. */
	if (!taken || !has_read_tcp(reader, writer)) {
		if (direction->calm > 1)
			direction->calm = 1;
		return WEFT_SLOW_UNDRAINED;
	}
	if (direction->calm && direction->calm++ < CALM)
		return WEFT_SLOW_UNDRAINED;
	seen = flags_of(file_of(reader));
	if (!seen)
		return WEFT_SLOW_UNOPENED;
	return seen & O_NONBLOCK ? WEFT_SLOW_NONE : WEFT_SLOW_BLOCKING;
}

/* Why a send goes by TCP: enum weft_slow_reason. */
static __always_inline __u32 slow_reason(struct weft_pair *pair, struct weft_direction *direction,
                                         struct tcp_sock *sender, __u32 end, __u32 size)
{
	__u32 zero = 0, reason;
	struct weft_settings *node = bpf_map_lookup_elem(&settings, &zero);

	if (!node)
		return WEFT_SLOW_PAUSED;
	reason = sender_reason(pair, sender, end, node);
	return reason ? reason : reader_reason(pair, direction, (__u64)sender, sender, end, size, node);
}

/* Notes that bytes have been redirected. */
static __always_inline void count_fast(struct weft_direction *direction, __u32 size)
{
	if (!direction->fast) {
		direction->fast = 1;
		direction->calm = 0;
		direction->promotions++;
	}
	direction->outstanding += size;
	direction->redirected_bytes += size;
	direction->redirected_sends++;
}

static __noinline int count_slow(struct weft_pair *pair, __u32 end, __u32 reason)
{
	struct weft_acceleration *counters = pair_counters(pair);
	struct weft_direction *direction = &pair->from[end & 1];

	if (direction->fast) {
		direction->fast = 0;
		direction->demotions++;
		if (direction->queue && !is_empty(direction->queue) &&
		    waits_for_edges(file_of(pair->socks[!end]), direction->demotions == 1)) {
			direction->calm = 1;
			direction->held = 1;
		}
	}
	if (counters && reason < WEFT_SLOW_REASONS)
		ADD(counters->slow_sends[reason], 1);
	return 0;
}

/* The exchange of a pair that carries requests; NULL if it carries none, or none that can be followed here. */
static __noinline struct weft_exchange *exchange_of(struct reading *reading, struct weft_pair *pair, __u32 length,
                                                    int *fresh)
{
	__u64 client = pair->client;
	struct weft_exchange *exchange = exchange_place(client);
	struct weft_connection *connection;

	if (exchange && exchange->cookie == client)
		return exchange;
	/* The server's end is only told of an exchange that is in its place. */
	if (reading->at_server)
		return NULL;
	connection = read_connection(reading->tcp, client);
	if (!connection) {
		pair->unread = 1;
		return NULL;
	}
	if (connection->flags & WEFT_SOCKET_EXCHANGE) {
		exchange = bpf_sk_storage_get(&exchange_socks, reading->tcp, 0, 0);
		if (exchange && exchange->cookie == client && exchange->mode != WEFT_EXCHANGE_OPAQUE) {
			count_unparsed(exchange, weft_http_lose(exchange, 0));
			exchange->mode = WEFT_EXCHANGE_OPAQUE;
		}
		pair->unread = 1;
		return NULL;
	}
	/* Its first bytes are these, or it is something else. */
	if (reading->tcp->bytes_sent || reading->tcp->bytes_received || pair->from[WEFT_END_SERVER].redirected_sends ||
	    pair->from[WEFT_END_CLIENT].redirected_sends > 1 || !begins_request(reading, length))
		exchange = NULL;
	else
		exchange = exchange_take(reading->tcp, connection, client);
	if (!exchange) {
		__sync_fetch_and_or(&connection->flags, WEFT_SOCKET_OPAQUE);
		pair->unread = 1;
		return NULL;
	}
	exchange_begin(exchange, connection, client, reading->tcp->write_seq, reading->tcp->rcv_nxt);
	*fresh = 1;
	return exchange;
}

/* Reads what was redirected; the next segment of TCP begins where the sender has stopped writing to it. */
static __noinline int read_message(struct reading *reading, __u32 length, int fresh)
{
	struct weft_exchange *exchange = reading->exchange;
	struct weft_http_stream *stream = reading->stream;
	__u64 now = bpf_ktime_get_ns();

	reading->offset = 0;
	stream->expected = reading->tcp->write_seq;
	if (fresh) {
		reading->scan->now_ns = now;
	} else if (exchange->mode == WEFT_EXCHANGE_LOST) {
		if (!resume(reading, length, now))
			return 0;
	} else {
		weft_http_open(exchange, reading->scan, reading->response, length, now);
	}
	if (bpf_loop(STEPS, read_step, reading, 0) >= STEPS)
		count_unparsed(exchange, weft_http_lose(exchange, reading->response));
	return 0;
}

static __noinline int read_redirected(struct sk_msg_md *message, struct tcp_sock *sender, struct weft_pair *pair,
                                      __u32 end)
{
	struct reading reading = { .from = message, .tcp = sender, .at_server = end == WEFT_END_SERVER };
	__u32 length = message->size;
	__u32 *busy = NULL;
	int fresh = 0;

	reading.scan = scan_take(&busy);
	if (!reading.scan)
		return 0;
	reading.exchange = exchange_of(&reading, pair, length, &fresh);
	if (reading.exchange && reading.exchange->mode == WEFT_EXCHANGE_OPAQUE) {
		pair->unread = 1;
	} else if (reading.exchange) {
		reading.response = reading.at_server;
		reading.stream = reading.response ? &reading.exchange->response : &reading.exchange->request;
		if (!reading.response) {
			read_message(&reading, length, fresh);
		} else if (!__sync_lock_test_and_set(&reading.stream->busy, 1)) {
			if (reading.exchange->cookie == pair->client)
				read_message(&reading, length, fresh);
			__sync_lock_test_and_set(&reading.stream->busy, 0);
		}
	}
	*(volatile __u32 *)busy = 0;
	return 0;
}

#include "shortcut.h"

/* Whether a segment is more than an acknowledgement. */
static __always_inline int carries_bytes(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 *packet = data, *tcp;
	__u32 header;

	if (data + IPV4_HEADER > end)
		return 0;
	header = packet[0] >> 4 == 4 ? (packet[0] & 0xf) * 4 : IPV6_HEADER;
	tcp = packet + header;
	if ((void *)tcp + TCP_HEADER > end)
		return 0;
	return skb->len > header + (tcp[12] >> 4) * 4;
}

SEC("sk_msg")
int redirect(struct sk_msg_md *message)
{
	struct bpf_sock *sk = message->sk;
	__u32 zero = 0, size = message->size, reason, end;
	struct weft_direction *direction;
	struct weft_settings *node;
	struct weft_member *member;
	struct tcp_sock *sender;
	struct weft_pair *pair;

	if (!sk)
		return SK_PASS;
	member = bpf_sk_storage_get(&ends, sk, 0, 0);
	sender = member ? bpf_skc_to_tcp_sock(sk) : NULL;
	if (!sender)
		return SK_PASS;
	pair = pair_place(member->pair);
	if (!pair || pair->client != member->client)
		return SK_PASS;
	end = member->end & 1;
	if (pair->lane == WEFT_LANE_PROXY && take_shortcut(message, pair, sender, end))
		return SK_PASS;
	direction = &pair->from[end];
	reason = slow_reason(pair, direction, sender, end, size);
	if (!reason &&
	    bpf_msg_redirect_map(message, &members, member->pair * WEFT_ENDS + !end, BPF_F_INGRESS) != SK_PASS)
		reason = WEFT_SLOW_REFUSED;
	if (reason) {
		count_slow(pair, end, reason);
		return SK_PASS;
	}
	count_fast(direction, size);
	node = bpf_map_lookup_elem(&settings, &zero);
	if (!pair->unread && node && node->reads_http)
		read_redirected(message, sender, pair, end);
	return SK_PASS;
}

/* Attached beside: what comes by TCP to a member that must not have it yet. */
SEC("cgroup_skb/ingress")
int hold(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct weft_direction *direction;
	struct weft_member *member;
	struct weft_pair *pair;
	struct tcp_sock *tcp;

	tcp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	member = tcp ? bpf_sk_storage_get(&ends, tcp, 0, 0) : NULL;
	if (!member)
		return PASS;
	pair = pair_place(member->pair);
	if (!pair || pair->client != member->client)
		return PASS;
	direction = &pair->from[!(member->end & 1)];
	if (!direction->held)
		return PASS;
	if (is_empty(direction->queue)) {
		direction->held = 0;
		return PASS;
	}
	return carries_bytes(skb) ? DROP : PASS;
}
