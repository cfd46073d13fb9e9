/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shortcut: a request whose rules the programs can decide goes from its client's socket straight into that of a
 * backend, and the response straight back, while the agent between them sleeps (abi_shortcut.h has the protocol).
 *
 * The client C talks to the agent's socket P, and the agent's socket U to the backend B: two pairs. What C sends to B
 * is sent on behalf of U, and what B sends to C on behalf of P: by the guard of the pair that has the reader, so that
 * the order with what the agent sends is kept, and what waits for a reader is bounded, whoever has sent it.
 *
 * A response is only begun straight if all of it has room at its reader; so none has to be cut short later. How long
 * one in chunks is can only be known when it has been sent as a whole: others are the agent's.
 *
 * Included by redirect.bpf.c, which has the guard.
 */
#ifndef WEFT_SHORTCUT_H
#define WEFT_SHORTCUT_H

#include "lib/shortcut.h"

/* The head that is read, in the window that it is read in. */
struct shortcut_head {
	struct weft_http_scan *scan;
	struct weft_shortcut_head head;
	__u32 response;
};

/* Bytes that an end has sent to the other end of its pair, by TCP or not; modulo 2^32. */
static __always_inline __u32 passed(const struct weft_pair *pair, const struct tcp_sock *sender, __u32 end)
{
	return sender->write_seq - pair->bases[end] + (__u32)pair->from[end].redirected_bytes;
}

/* Whether a socket is connected in both directions. */
static __always_inline int is_established(__u64 sock)
{
	unsigned char state = 0;

	FIELD(struct sock_common, sock, skc_state, &state);
	return state == TCP_ESTABLISHED_STATE;
}

/* Leaves a request or response to the agent. */
static __always_inline int leave(struct weft_shortcut *shortcut, __u32 reason)
{
	/* The compiler knows that it always is; the verifier does not. */
	barrier_var(reason);
	if (reason < WEFT_SHORTCUT_REASONS)
		__sync_fetch_and_add(&shortcut->left[reason], 1);
	return 0;
}

/* Reads the head that a message begins with; returns 0 if it is the agent's to judge. */
static __noinline int read_head(struct sk_msg_md *message, struct shortcut_head *reading)
{
	struct weft_http_scan *scan = reading->scan;
	__u32 size = message->size, wanted = size < WEFT_HTTP_ROOM ? size : WEFT_HTTP_ROOM;
	int begun;

	if (message->data + wanted > message->data_end && bpf_msg_pull_data(message, 0, wanted, 0))
		return 0;
	/* This changes nothing; kernels before 6.7 want to see that it is not 0. */
	barrier_var(wanted);
	wanted = ((wanted - 1) & (WEFT_HTTP_ROOM - 1)) + 1;
	if (bpf_probe_read_kernel(scan->window, wanted, message->data))
		return 0;
	begun = reading->response ? weft_shortcut_status_line(&reading->head, scan, wanted)
	                          : weft_shortcut_request_line(&reading->head, scan, wanted);
	if (!begun)
		return 0;
	for (__u32 i = 0; i < WEFT_SHORTCUT_LINES; i++) {
		if (!weft_shortcut_line(&reading->head, scan, reading->response))
			return 0;
		if (reading->head.seen & WEFT_SHORTCUT_COMPLETE)
			return 1;
	}
	return 0;
}

/* Whether a response whose head has been read is in this message to the end of its chunks; how much is in them. */
static __noinline int read_chunks(struct sk_msg_md *message, struct shortcut_head *reading)
{
	struct weft_http_scan *scan = reading->scan;
	__u32 size = message->size, place = reading->head.line;

	for (__u32 i = 0; i < WEFT_SHORTCUT_CHUNKS; i++) {
		__u32 wanted = size - place, length;

		if (place >= size)
			return 0;
		if (wanted > WEFT_SHORTCUT_CHUNK_LINE)
			wanted = WEFT_SHORTCUT_CHUNK_LINE;
		if (bpf_msg_pull_data(message, place, place + wanted, 0))
			return 0;
		/* As above. */
		barrier_var(wanted);
		wanted = ((wanted - 1) & (WEFT_SHORTCUT_CHUNK_LINE - 1)) + 1;
		if (bpf_probe_read_kernel(scan->window, wanted, message->data))
			return 0;
		length = weft_shortcut_chunk(&reading->head, scan, wanted, !i);
		if (!length)
			return 0;
		place += length;
		if (!reading->head.chunk)
			return place == size;
		place += reading->head.chunk;
		reading->head.content_length += reading->head.chunk;
	}
	return 0;
}

/* Whether somebody watches requests one by one. */
static __always_inline int is_watched(void)
{
	__u32 zero = 0;
	struct weft_tap *wanted = bpf_map_lookup_elem(&tap, &zero);

	return wanted && wanted->until_ns && wanted->until_ns > bpf_ktime_get_ns();
}

/* Whether Host's value is the one that the table is for. */
static __always_inline int is_host(const struct weft_shortcut_table *table, const struct shortcut_head *reading)
{
	__u32 length = reading->head.host_length;

	if (length != table->host_length || !(reading->head.seen & WEFT_SHORTCUT_HAS_HOST))
		return 0;
	for (__u32 i = 0; i < WEFT_SHORTCUT_WORDS; i++) {
		__u32 from = 8 * i;

		if (from >= length)
			break;
		if (weft_shortcut_cut(weft_http_word(weft_http_at(reading->scan, reading->head.host + from)) ^
		                          table->host[i],
		                      length - from))
			return 0;
	}
	return 1;
}

/* What a request that was read is to be sent by. */
struct shortcut_way {
	struct weft_shortcut_choice choice;
	__u32 index; /* of the leg's pair */
	struct weft_shortcut_leg *leg;
};

/* Draws an endpoint of the cluster that was chosen, and finds the connection's leg to it: enum weft_shortcut_reason. */
static __always_inline __u32 choose_leg(const struct weft_shortcut *shortcut, const struct weft_shortcut_table *table,
                                        struct shortcut_way *way)
{
	__u32 cluster = way->choice.cluster, endpoints = table->endpoints[cluster & (WEFT_SHORTCUT_CLUSTERS - 1)];
	__u32 wanted = endpoints > 1 ? bpf_get_prandom_u32() % endpoints : 0;
	__u64 cookie = 0;

	for (__u32 i = 0; i < WEFT_SHORTCUT_LEGS; i++) {
		if (!shortcut->legs[i] || shortcut->clusters[i] != cluster)
			continue;
		if (!wanted--) {
			cookie = shortcut->legs[i];
			break;
		}
	}
	way->index = pair_index(cookie);
	way->leg = shortcut_leg(cookie);
	if (!way->leg || way->leg->client != shortcut->client)
		return WEFT_SHORTCUT_NO_LEG;
	return WEFT_SHORTCUT_TAKEN;
}

/* Decides about the request that a message is: enum weft_shortcut_reason. */
static __noinline int decide_request(struct sk_msg_md *message, struct weft_shortcut *shortcut,
                                     struct shortcut_way *way)
{
	__u32 place = shortcut->table, *busy = NULL;
	struct weft_shortcut_table *table = bpf_map_lookup_elem(&shortcut_tables, &place);
	struct shortcut_head reading = {};
	__u32 reason = WEFT_SHORTCUT_FORM;

	if (!table || table->generation != shortcut->generation)
		return WEFT_SHORTCUT_STALE;
	reading.scan = scan_take(&busy);
	if (!reading.scan)
		return WEFT_SHORTCUT_FORM;
	if (read_head(message, &reading) && is_host(table, &reading) &&
	    reading.head.line + reading.head.content_length == message->size) {
		reason = weft_shortcut_decide(table, &reading.head, &way->choice, bpf_get_prandom_u32());
		if (!reason)
			reason = choose_leg(shortcut, table, way);
		shortcut->request_body = reading.head.content_length;
		shortcut->is_head = reading.head.method == WEFT_SHORTCUT_HEAD;
		shortcut->route = 0;
		/* Without a reason there is a leg, which some kernels do not see. */
		if (!reason && way->leg && table->has_templates)
			shortcut->route = template_of(reading.scan, templates_of(way->leg->service));
	}
	*(volatile __u32 *)busy = 0;
	return reason;
}

/* Counts a request at the rule that has allowed it. */
static __always_inline void count_hit(__u32 place, const struct weft_shortcut_choice *choice)
{
	struct weft_shortcut_table *table = bpf_map_lookup_elem(&shortcut_tables, &place);
	__u32 allow = choice->allow - 1;

	if (table && allow < WEFT_SHORTCUT_RULES)
		__sync_fetch_and_add(&table->hits[allow], 1);
}

/* Sends a request to a leg's backend. Returns 1 when that was done. */
static __noinline int send_request(struct sk_msg_md *message, struct weft_shortcut *shortcut, struct tcp_sock *sender,
                                   const struct shortcut_way *way, __u32 word)
{
	__u32 size = message->size, zero = 0;
	struct weft_settings *node = bpf_map_lookup_elem(&settings, &zero);
	struct weft_pair *pair = way->leg ? pair_of(way->leg->cookie) : NULL;
	struct weft_direction *direction;

	if (way->leg && !pair)
		way->leg->is_unfit = 1;
	if (!node || !pair)
		return leave(shortcut, WEFT_SHORTCUT_NO_LEG);
	if (!pair->socks[WEFT_END_CLIENT] || !is_established(pair->socks[WEFT_END_SERVER]))
		return leave(shortcut, WEFT_SHORTCUT_NO_LEG);
	direction = &pair->from[WEFT_END_CLIENT];
	if (reader_reason(pair, direction, pair->socks[WEFT_END_CLIENT], sender, WEFT_END_CLIENT, size, node))
		return leave(shortcut, WEFT_SHORTCUT_CONGESTED);
	shortcut->leg = way->leg->number;
	shortcut->started_ns = bpf_ktime_get_ns();
	/* From here on the backend may answer. */
	if (__sync_val_compare_and_swap(&shortcut->word, word, WEFT_SHORTCUT_OF_KERNEL | WEFT_SHORTCUT_AWAITING) !=
	    word)
		return leave(shortcut, WEFT_SHORTCUT_UNSETTLED);
	if (bpf_msg_redirect_map(message, &members, way->index * WEFT_ENDS + WEFT_END_SERVER, BPF_F_INGRESS) !=
	    SK_PASS) {
		__sync_val_compare_and_swap(&shortcut->word, WEFT_SHORTCUT_OF_KERNEL | WEFT_SHORTCUT_AWAITING, word);
		return leave(shortcut, WEFT_SHORTCUT_CONGESTED);
	}
	count_fast(direction, size);
	shortcut->sent_bytes += size;
	shortcut->requests++;
	count_hit(shortcut->table, &way->choice);
	return 1;
}

/* Takes what a client sends, if it is a request that is decided here. */
static __noinline int take_request(struct sk_msg_md *message, struct weft_pair *pair, struct tcp_sock *sender,
                                   struct weft_shortcut *shortcut)
{
	__u32 word = *(volatile __u32 *)&shortcut->word, zero = 0, reason;
	struct weft_settings *node = bpf_map_lookup_elem(&settings, &zero);
	struct weft_shortcut_node *state;
	struct shortcut_way way = {};

	if ((word & WEFT_SHORTCUT_OWNER) == WEFT_SHORTCUT_OF_AGENT)
		return 0;
	state = bpf_map_lookup_elem(&shortcut_node, &zero);
	if (!state || !state->generation || state->generation != shortcut->generation)
		return leave(shortcut, WEFT_SHORTCUT_STALE);
	if (word & ~WEFT_SHORTCUT_OWNER || passed(pair, sender, WEFT_END_CLIENT) != shortcut->taken)
		return leave(shortcut, WEFT_SHORTCUT_UNSETTLED);
	if (!node || sender_reason(pair, sender, WEFT_END_CLIENT, node))
		return leave(shortcut, WEFT_SHORTCUT_CONGESTED);
	if (is_watched())
		return leave(shortcut, WEFT_SHORTCUT_WATCHED);
	reason = decide_request(message, shortcut, &way);
	if (reason)
		return leave(shortcut, reason);
	return send_request(message, shortcut, sender, &way, word);
}

/* A request whose response has ended, for the counters. */
struct shortcut_ended {
	struct weft_requests_key key;
	__u64 duration_ns;
	__u64 first_byte_ns;
	__u64 request_body;
	__u64 response_body;
};

static __noinline int count_ended(const struct shortcut_ended *ended)
{
	struct weft_requests *counters = requests_of(&ended->key);

	if (!counters)
		return 0;
	ADD(counters->count, 1);
	latencies_add(&counters->duration, ended->duration_ns);
	latencies_add(&counters->first_byte, ended->first_byte_ns);
	sizes_add(&counters->request_body, ended->request_body);
	sizes_add(&counters->response_body, ended->response_body);
	return 0;
}

/* A response has ended, at `now`: the client may have the next one. What is counted is of this one. */
static __noinline int end_response(struct weft_shortcut *shortcut, struct weft_shortcut_leg *leg, __u64 source,
                                   __u64 now)
{
	__u64 started = shortcut->started_ns, answered = shortcut->answered_ns;
	struct shortcut_ended ended = {
		.key = {
			.source = source,
			.service = leg->service,
			.destination = leg->destination,
			.status = leg->status,
			.lane = WEFT_LANE_SHORTCUT,
			.reporter = WEFT_REPORTER_BOTH,
			.outcome = WEFT_REQUEST_COMPLETE,
			.route = shortcut->route,
		},
		.duration_ns = now > started ? now - started : 0,
		.first_byte_ns = answered > started ? answered - started : 0,
		.request_body = shortcut->request_body,
		.response_body = leg->response_body,
	};

	shortcut->ended_ns = now;
	leg->responses++;
	leg->latency_ns += ended.first_byte_ns;
	if (!shortcut->first_class)
		shortcut->first_class = leg->status / 100;
	__sync_val_compare_and_swap(&shortcut->word,
	                            WEFT_SHORTCUT_OF_KERNEL | WEFT_SHORTCUT_AWAITING | WEFT_SHORTCUT_ANSWERING,
	                            WEFT_SHORTCUT_OF_KERNEL);
	return count_ended(&ended);
}

/*
 * Reads the head that a response begins with: its status and how long it is, with its head. Returns 0 if it is the
 * agent's.
 */
static __noinline __u64 read_response(struct sk_msg_md *message, const struct weft_shortcut *shortcut,
                                      struct weft_shortcut_leg *leg)
{
	struct shortcut_head reading = { .response = 1 };
	__u64 length = 0;
	__u32 *busy = NULL;

	reading.scan = scan_take(&busy);
	if (!reading.scan)
		return 0;
	if (read_head(message, &reading) && reading.head.status < 500) {
		__u32 chunked = reading.head.seen & WEFT_SHORTCUT_CHUNKED;

		leg->status = reading.head.status;
		if (shortcut->is_head || reading.head.status == 204 || reading.head.status == 304)
			leg->response_body = 0, length = chunked ? 0 : reading.head.line;
		else if (reading.head.seen & WEFT_SHORTCUT_HAS_LENGTH)
			leg->response_body = reading.head.content_length,
			length = reading.head.line + reading.head.content_length;
		else if (chunked && read_chunks(message, &reading))
			leg->response_body = reading.head.content_length, length = message->size;
	}
	*(volatile __u32 *)busy = 0;
	return length;
}

/* Sends on a response, or more of one; `place` is that of the client's pair. Returns 1 when that was done. */
static __always_inline int send_response(struct sk_msg_md *message, struct weft_pair *pair, __u32 place, __u32 size)
{
	if (bpf_msg_redirect_map(message, &members, place * WEFT_ENDS + WEFT_END_CLIENT, BPF_F_INGRESS) != SK_PASS)
		return 0;
	count_fast(&pair->from[WEFT_END_SERVER], size);
	return 1;
}

/* Whether a response that has `length` bytes, which begins with this message, may go straight to its client. */
static __noinline int may_answer(struct weft_pair *pair, struct tcp_sock *sender, __u64 length)
{
	__u32 zero = 0;
	struct weft_settings *node = bpf_map_lookup_elem(&settings, &zero);
	__u64 agents = pair->socks[WEFT_END_SERVER];

	if (!node || !node->acceleration || !agents || length > node->redirect_cap)
		return 0;
	return !reader_reason(pair, &pair->from[WEFT_END_SERVER], agents, sender, WEFT_END_SERVER, length, node);
}

/* Whether a backend's socket does what a member must not; then its pair is slow for good. */
static __noinline int is_unfit(__u64 cookie, struct tcp_sock *sender)
{
	__u32 zero = 0;
	struct weft_settings *node = bpf_map_lookup_elem(&settings, &zero);
	struct weft_pair *pair = pair_of(cookie);

	return !node || !pair || sender_reason(pair, sender, WEFT_END_SERVER, node);
}

/* Begins a response. Returns 1 when it was sent to its client. */
static __noinline int begin_response(struct sk_msg_md *message, struct weft_shortcut *shortcut,
                                     struct weft_shortcut_leg *leg, struct tcp_sock *sender, __u32 at)
{
	const __u32 awaiting = WEFT_SHORTCUT_OF_KERNEL | WEFT_SHORTCUT_AWAITING;
	struct weft_pair *pair = pair_of(shortcut->client);
	__u32 size = message->size;
	__u64 length = 0;

	if (pair && at - (__u32)leg->sent_bytes == leg->taken && !is_unfit(leg->cookie, sender))
		length = read_response(message, shortcut, leg);
	if (!length || size > length || !may_answer(pair, sender, length))
		goto agents;
	shortcut->answered_ns = bpf_ktime_get_ns();
	leg->response_end = at + (__u32)length;
	if (__sync_val_compare_and_swap(&shortcut->word, awaiting, awaiting | WEFT_SHORTCUT_ANSWERING) != awaiting)
		return 0;
	if (!send_response(message, pair, pair_index(shortcut->client), size))
		goto agents;
	leg->sent_bytes += size;
	if (size == length)
		end_response(shortcut, leg, pair->source, shortcut->answered_ns);
	return 1;
agents:
	leave(shortcut, WEFT_SHORTCUT_ANSWER);
	if (__sync_val_compare_and_swap(&shortcut->word, awaiting, awaiting | WEFT_SHORTCUT_LEFT) != awaiting)
		__sync_val_compare_and_swap(&shortcut->word, awaiting | WEFT_SHORTCUT_ANSWERING,
		                            awaiting | WEFT_SHORTCUT_LEFT);
	return 0;
}

/* Goes on with a response. Returns 1 when that was sent to its client. */
static __noinline int continue_response(struct sk_msg_md *message, struct weft_shortcut *shortcut,
                                        struct weft_shortcut_leg *leg, __u32 at)
{
	struct weft_pair *pair = pair_of(shortcut->client);
	__u32 size = message->size, left = leg->response_end - at;

	/* More than it has said, or what has gone to the agent unseen: the agent finds it and ends the connection. */
	if (!pair || size > left || at - (__u32)leg->sent_bytes != leg->taken)
		return 0;
	if (!send_response(message, pair, pair_index(shortcut->client), size))
		return 0;
	leg->sent_bytes += size;
	if (size == left)
		end_response(shortcut, leg, pair->source, bpf_ktime_get_ns());
	return 1;
}

/* Takes what a backend sends, if it is of a response to a request that was taken. */
static __noinline int take_response(struct sk_msg_md *message, struct weft_pair *pair, struct tcp_sock *sender,
                                    struct weft_shortcut_leg *leg)
{
	struct weft_shortcut *shortcut = shortcut_of(leg->client);
	__u32 word, at;

	if (!shortcut || leg->cookie != pair->client)
		return 0;
	word = *(volatile __u32 *)&shortcut->word;
	if ((word & WEFT_SHORTCUT_OWNER) != WEFT_SHORTCUT_OF_KERNEL || !(word & WEFT_SHORTCUT_AWAITING) ||
	    word & WEFT_SHORTCUT_LEFT || shortcut->leg != leg->number)
		return 0;
	at = passed(pair, sender, WEFT_END_SERVER) + (__u32)leg->sent_bytes;
	if (word & WEFT_SHORTCUT_ANSWERING)
		return continue_response(message, shortcut, leg, at);
	return begin_response(message, shortcut, leg, sender, at);
}

/* Takes what is sent on a connection of the agent's, if it goes past the agent. Returns 1 when it does. */
static __always_inline int take_shortcut(struct sk_msg_md *message, struct weft_pair *pair, struct tcp_sock *sender,
                                         __u32 end)
{
	if (end == WEFT_END_CLIENT && pair->source != WEFT_WORKLOAD_AGENT) {
		struct weft_shortcut *shortcut = shortcut_of(pair->client);

		if (shortcut)
			return take_request(message, pair, sender, shortcut);
	} else if (end == WEFT_END_SERVER && pair->source == WEFT_WORKLOAD_AGENT) {
		struct weft_shortcut_leg *leg = shortcut_leg(pair->client);

		if (leg && leg->client)
			return take_response(message, pair, sender, leg);
	}
	return 0;
}

#endif
