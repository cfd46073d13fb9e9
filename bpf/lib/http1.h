/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Follows the HTTP/1 messages (RFC 9112) of one connection, as far as counting them needs: where each begins and ends,
 * a request's method, a response's status. Pure: compiles for the host too.
 *
 * The bytes of each direction come in pieces that are cut anywhere. Lines are read in a window of their bytes; what a
 * piece leaves of a line waits in the direction's state, and content is passed by its length without being looked at.
 * What two recipients could understand differently is not followed: the requests that it may concern are `unparsed`.
 *
 * Every function does a bounded piece of work, as the verifier wants it; state is only in memory, where it does not
 * follow it.
 */
#ifndef WEFT_LIB_HTTP1_H
#define WEFT_LIB_HTTP1_H

#include "http1_text.h"

/* ----------------------------------------------------------------------------------------------------------- bodies */

#define WEFT_HTTP_SIZE_LENGTH 16

/*
 * The size in a chunk's line, with its carriage return before `end` if that is there; WEFT_HTTP_NO_NUMBER if it has
 * none.
 */
WEFT_HTTP_ALONE __u64 weft_http_chunk_size(const struct weft_http_scan *scan, __u32 line, __u32 end)
{
	__u64 size = 0;

	if (!scan)
		return WEFT_HTTP_NO_NUMBER;
	for (__u32 i = 0; i <= WEFT_HTTP_SIZE_LENGTH; i++) {
		__u8 byte = *weft_http_at(scan, line + i);
		__u8 letter = byte | 0x20;

		if (line + i >= end)
			break;
		if (i && (byte == ';' || (byte == '\r' && line + i + 1 == end)))
			return size >> 63 ? WEFT_HTTP_NO_NUMBER : size;
		if (weft_http_is_digit(byte))
			size = size << 4 | (byte - '0');
		else if (letter >= 'a' && letter <= 'f')
			size = size << 4 | (letter - 'a' + 10);
		else
			break;
	}
	return WEFT_HTTP_NO_NUMBER;
}

static inline __attribute__((always_inline)) void weft_http_chunk_begins(struct weft_http_stream *stream)
{
	stream->state = stream->remaining ? WEFT_HTTP_CHUNK_BODY : WEFT_HTTP_TRAILERS;
}

/* --------------------------------------------------------------------------------------------------------- messages */

/* A request has ended with the byte that was read last. */
static inline __attribute__((always_inline)) int weft_http_request_ended(struct weft_exchange *exchange,
                                                                         struct weft_http_stream *stream,
                                                                         const struct weft_http_scan *scan)
{
	__u32 number = exchange->pushed - 1;
	__u32 bit = 1u << (number & (WEFT_HTTP_FOLLOWED - 1));

	if (!(exchange->untimed & bit)) {
		struct weft_http_start *start = &exchange->starts[number & (WEFT_HTTP_TIMED - 1)];

		start->body = stream->body;
		start->ended_ns = scan->now_ns;
	}
	stream->flags = 0;
	stream->state = exchange->connects & bit ? WEFT_HTTP_HELD : WEFT_HTTP_START;
	return WEFT_HTTP_GO;
}

/* A response has ended. */
static inline __attribute__((always_inline)) int
weft_http_response_ended(struct weft_exchange *exchange, struct weft_http_stream *stream, struct weft_http_scan *scan)
{
	struct weft_http_answer *answer = &scan->answer;
	__u32 number = exchange->popped;
	__u32 bit = 1u << (number & (WEFT_HTTP_FOLLOWED - 1));
	const struct weft_http_start *start = &exchange->starts[number & (WEFT_HTTP_TIMED - 1)];
	__u64 ended = start->ended_ns, answered = exchange->answered_ns;

	answer->number = number + 1;
	answer->status = stream->status;
	answer->timed = !(exchange->untimed & bit);
	answer->route = exchange->routes[number & (WEFT_HTTP_TIMED - 1)];
	answer->duration_ns = scan->now_ns > start->started_ns ? scan->now_ns - start->started_ns : 0;
	answer->first_byte_ns = ended && answered > ended ? answered - ended : 0;
	/* A request that has not ended is the one that is being read. */
	answer->request_body = ended ? start->body : exchange->request.body;
	answer->response_body = stream->body;
	if (exchange->connects & bit || stream->status == 101)
		exchange->mode = WEFT_EXCHANGE_OPAQUE;
	stream->flags = 0;
	stream->state = WEFT_HTTP_START;
	/* A response to what has not been recognised (a line that is too long) makes it a request all the same. */
	if (number == exchange->recognised && number != exchange->pushed)
		__sync_val_compare_and_swap(&exchange->recognised, number, number + 1);
	return __sync_val_compare_and_swap(&exchange->popped, number, number + 1) == number ? WEFT_HTTP_ANSWERED
	                                                                                    : WEFT_HTTP_GO;
}

/* A head is complete: how its message goes on. */
static inline __attribute__((always_inline)) int weft_http_head(struct weft_exchange *exchange,
                                                                struct weft_http_stream *stream,
                                                                struct weft_http_scan *scan, int response)
{
	int chunked = stream->flags & WEFT_HTTP_CHUNKED, sized = stream->flags & WEFT_HTTP_SIZED;
	int coded = stream->flags & WEFT_HTTP_CODED;

	/* Who reads both headers, or one of them in HTTP/1.0, may understand either. */
	if (((chunked || coded) && (sized || stream->flags & WEFT_HTTP_OLD)) || (coded && !response))
		return WEFT_HTTP_FAILED;
	if (response) {
		__u32 bit = 1u << (exchange->popped & (WEFT_HTTP_FOLLOWED - 1));

		if (stream->status < 200 && stream->status != 101) {
			stream->flags = 0;
			stream->state = WEFT_HTTP_START;
			return WEFT_HTTP_GO;
		}
		if (!exchange->http_class)
			exchange->http_class = stream->status / 100;
		if (stream->status < 200 || stream->status == 204 || stream->status == 304 || exchange->heads & bit ||
		    (exchange->connects & bit && stream->status < 300))
			return weft_http_response_ended(exchange, stream, scan);
		if (!chunked && !sized) {
			stream->state = WEFT_HTTP_UNTIL_CLOSE;
			return WEFT_HTTP_GO;
		}
	}
	if (chunked) {
		stream->state = WEFT_HTTP_CHUNK;
		return WEFT_HTTP_GO;
	}
	if (sized && stream->remaining) {
		stream->state = WEFT_HTTP_BODY;
		return WEFT_HTTP_GO;
	}
	return response ? weft_http_response_ended(exchange, stream, scan)
	                : weft_http_request_ended(exchange, stream, scan);
}

/* ------------------------------------------------------------------------------------------------------------ steps */

/* Reads the line whose line feed is at `end`. */
static inline __attribute__((always_inline)) int weft_http_line(struct weft_exchange *exchange,
                                                                struct weft_http_stream *stream,
                                                                struct weft_http_scan *scan, __u32 end, int response)
{
	__u32 line = scan->line, length = end - line;
	int is_long = stream->flags & WEFT_HTTP_LONG;

	scan->line = end + 1;
	scan->next = end + 1;
	/* A line feed alone ends the line for some and not for others. */
	if (length == 0 || length > WEFT_HTTP_ROOM || *weft_http_at(scan, end - 1) != '\r')
		return WEFT_HTTP_FAILED;
	switch (stream->state) {
	case WEFT_HTTP_START:
		if (length == 1 && !response && !(stream->flags & WEFT_HTTP_BEGUN))
			/* Empty lines before a request are ignored (RFC 9112 section 2.2). */
			return WEFT_HTTP_GO;
		if (!weft_http_begin(exchange, stream, scan, response))
			return WEFT_HTTP_FAILED;
		if (response) {
			if (!is_long && (length < 13 || !weft_http_status_line(stream, scan, line)))
				return WEFT_HTTP_FAILED;
		} else if (!weft_http_request_line(exchange, stream, scan, line, end)) {
			return WEFT_HTTP_FAILED;
		}
		stream->flags &= ~WEFT_HTTP_LONG;
		stream->state = WEFT_HTTP_FIELDS;
		return response ? WEFT_HTTP_GO : WEFT_HTTP_REQUEST;
	case WEFT_HTTP_FIELDS:
		if (is_long)
			break;
		if (length == 1)
			return weft_http_head(exchange, stream, scan, response);
		return weft_http_field(stream, scan, line, end, 1) ? WEFT_HTTP_GO : WEFT_HTTP_FAILED;
	case WEFT_HTTP_CHUNK:
		if (!is_long)
			stream->remaining = weft_http_chunk_size(scan, line, end);
		if (stream->remaining == WEFT_HTTP_NO_NUMBER)
			return WEFT_HTTP_FAILED;
		weft_http_chunk_begins(stream);
		break;
	case WEFT_HTTP_CHUNK_END:
		if (length != 1)
			return WEFT_HTTP_FAILED;
		stream->state = WEFT_HTTP_CHUNK;
		break;
	case WEFT_HTTP_TRAILERS:
		if (length == 1 && !is_long)
			return response ? weft_http_response_ended(exchange, stream, scan)
			                : weft_http_request_ended(exchange, stream, scan);
		break;
	default:
		return WEFT_HTTP_FAILED;
	}
	stream->flags &= ~WEFT_HTTP_LONG;
	return WEFT_HTTP_GO;
}

/*
 * Judges a line by its beginning, of which more than WEFT_HTTP_CARRY bytes are there: the rest is not kept. Returns 0
 * if the message cannot be followed.
 */
static inline __attribute__((always_inline)) int weft_http_long_line(struct weft_exchange *exchange,
                                                                     struct weft_http_stream *stream,
                                                                     struct weft_http_scan *scan, int response)
{
	__u32 line = scan->line;

	if (stream->flags & WEFT_HTTP_LONG)
		return 1;
	switch (stream->state) {
	case WEFT_HTTP_START:
		if (!weft_http_begin(exchange, stream, scan, response))
			return 0;
		if (response ? !weft_http_status_line(stream, scan, line)
		             : !weft_http_take_method(exchange, weft_http_method(scan, line, scan->end - line)))
			return 0;
		break;
	case WEFT_HTTP_FIELDS:
		if (!weft_http_field(stream, scan, line, scan->end, 0))
			return 0;
		break;
	case WEFT_HTTP_CHUNK:
		stream->remaining = weft_http_chunk_size(scan, line, scan->end);
		if (stream->remaining == WEFT_HTTP_NO_NUMBER)
			return 0;
		break;
	case WEFT_HTTP_TRAILERS:
		break;
	default:
		return 0;
	}
	stream->flags |= WEFT_HTTP_LONG;
	return 1;
}

/* Whether a request's line is seen for the first time, and is too long. */
static inline __attribute__((always_inline)) int
weft_http_is_beginning(const struct weft_exchange *exchange, const struct weft_http_stream *stream, int response)
{
	return exchange->templates && !response && stream->state == WEFT_HTTP_START &&
	       !(stream->flags & WEFT_HTTP_LONG);
}

/* Says that it is: nothing of it is gone until the next step. */
static inline __attribute__((always_inline)) int
weft_http_tell_beginning(struct weft_exchange *exchange, struct weft_http_stream *stream, struct weft_http_scan *scan)
{
	if (!weft_http_long_line(exchange, stream, scan, 0))
		return WEFT_HTTP_FAILED;
	scan->text = scan->line;
	scan->text_length = scan->end - scan->line;
	return WEFT_HTTP_BEGINNING;
}

/* Keeps what the piece has left of a line. Returns 0 if the message cannot be followed. */
static inline __attribute__((always_inline)) int weft_http_keep(struct weft_exchange *exchange,
                                                                struct weft_http_stream *stream,
                                                                struct weft_http_scan *scan, int response)
{
	__u32 held = scan->end - scan->line, line = scan->line;

	if (held > WEFT_HTTP_CARRY) {
		if (!weft_http_long_line(exchange, stream, scan, response))
			return 0;
		line = scan->end - WEFT_HTTP_TAIL;
		held = WEFT_HTTP_TAIL;
	} else if (stream->state == WEFT_HTTP_START && held && !(stream->flags & WEFT_HTTP_LONG)) {
		__u8 first = *weft_http_at(scan, line);

		if (first != '\r' && !weft_http_begin(exchange, stream, scan, response))
			return 0;
		if (first != '\r' && !response && weft_http_method(scan, line, held) == WEFT_HTTP_NO_METHOD)
			return 0;
	}
	if (held)
		weft_http_copy(stream->carry, weft_http_at(scan, line));
	stream->carried = held;
	return 1;
}

/* The window has been searched: asks for more of the piece, or keeps what is left of it. */
static inline __attribute__((always_inline)) int weft_http_refill(struct weft_exchange *exchange,
                                                                  struct weft_http_stream *stream,
                                                                  struct weft_http_scan *scan, int response)
{
	__u32 held = scan->end - scan->line, rest = scan->length - scan->offset;

	if (held > WEFT_HTTP_CARRY && (scan->offset >= scan->length || !scan->line) &&
	    weft_http_is_beginning(exchange, stream, response))
		return weft_http_tell_beginning(exchange, stream, scan);
	if (scan->offset >= scan->length)
		return weft_http_keep(exchange, stream, scan, response) ? WEFT_HTTP_DONE : WEFT_HTTP_FAILED;
	if (scan->line) {
		/* The line's beginning is of this piece: it is loaded again. */
		scan->offset -= held;
		rest += held;
		scan->line = 0;
		scan->next = held;
		scan->end = 0;
	} else if (scan->end > WEFT_HTTP_CARRY) {
		if (!weft_http_long_line(exchange, stream, scan, response))
			return WEFT_HTTP_FAILED;
		for (__u32 i = 0; i < WEFT_HTTP_TAIL; i++)
			scan->window[i] = scan->window[(scan->end - WEFT_HTTP_TAIL + i) & (WEFT_HTTP_ROOM - 1)];
		scan->end = WEFT_HTTP_TAIL;
		scan->next = WEFT_HTTP_TAIL;
	}
	scan->wanted = rest < WEFT_HTTP_WINDOW ? rest : WEFT_HTTP_WINDOW;
	return WEFT_HTTP_LOAD;
}

/* Passes content: what is in the window first, then without loading it. */
static inline __attribute__((always_inline)) int weft_http_pass(struct weft_exchange *exchange,
                                                                struct weft_http_stream *stream,
                                                                struct weft_http_scan *scan, int response)
{
	__u64 loaded = scan->end - scan->line, rest = scan->length - scan->offset, taken = loaded + rest;

	if (stream->state == WEFT_HTTP_UNTIL_CLOSE)
		stream->remaining = ~0ull;
	if (taken > stream->remaining)
		taken = stream->remaining;
	stream->body += taken;
	stream->remaining -= taken;
	if (taken <= loaded) {
		scan->line += (__u32)taken;
	} else {
		scan->offset += (__u32)(taken - loaded);
		scan->line = 0;
		scan->end = 0;
	}
	scan->next = scan->line;
	if (stream->remaining)
		return WEFT_HTTP_DONE;
	if (stream->state == WEFT_HTTP_CHUNK_BODY) {
		stream->state = WEFT_HTTP_CHUNK_END;
		return WEFT_HTTP_GO;
	}
	return response ? weft_http_response_ended(exchange, stream, scan)
	                : weft_http_request_ended(exchange, stream, scan);
}

/* The state of one direction. */
static inline __attribute__((always_inline)) struct weft_http_stream *weft_http_stream(struct weft_exchange *exchange,
                                                                                       int response)
{
	return response ? &exchange->response : &exchange->request;
}

/* Lines that one step reads at most. */
#define WEFT_HTTP_LINES 4

/* One step through a piece; the caller does what the event says. */
WEFT_HTTP_ALONE int weft_http_step(struct weft_exchange *exchange, struct weft_http_scan *scan, int response)
{
	struct weft_http_stream *stream;

	if (!exchange || !scan || exchange->mode != WEFT_EXCHANGE_FOLLOWED)
		return WEFT_HTTP_DONE;
	stream = weft_http_stream(exchange, response);
	for (int i = 0; i < WEFT_HTTP_LINES && stream->state < WEFT_HTTP_BODY; i++) {
		__u32 next = scan->next, found;
		int event;

		if (next >= scan->end)
			return weft_http_refill(exchange, stream, scan, response);
		found = weft_http_line_end(weft_http_at(scan, next));
		if (found >= WEFT_HTTP_MARGIN || next + found >= scan->end) {
			scan->next = next + WEFT_HTTP_MARGIN;
			continue;
		}
		event = weft_http_line(exchange, stream, scan, next + found, response);
		if (event != WEFT_HTTP_GO)
			return event;
	}
	if (stream->state < WEFT_HTTP_BODY)
		return WEFT_HTTP_GO;
	if (stream->state == WEFT_HTTP_HELD)
		/* Whoever speaks before CONNECT is answered speaks something else. */
		return scan->end > scan->line || scan->offset < scan->length ? WEFT_HTTP_FAILED : WEFT_HTTP_DONE;
	return weft_http_pass(exchange, stream, scan, response);
}

/* What was wanted has been loaded. */
static inline __attribute__((always_inline)) void weft_http_loaded(struct weft_http_scan *scan)
{
	scan->end += scan->wanted;
	scan->offset += scan->wanted;
}

/* Begins to read a piece of `length` bytes. */
static inline __attribute__((always_inline)) void
weft_http_open(struct weft_exchange *exchange, struct weft_http_scan *scan, int response, __u32 length, __u64 now)
{
	struct weft_http_stream *stream = weft_http_stream(exchange, response);

	scan->now_ns = now;
	scan->length = length;
	scan->offset = 0;
	scan->line = 0;
	scan->next = stream->carried;
	scan->end = stream->carried;
	if (!stream->carried)
		return;
	weft_http_copy(scan->window, stream->carry);
	stream->carried = 0;
}

/*
 * Gives up what cannot be followed any more; `response`: which direction cannot. Returns how many requests that were
 * recognised are left without an answer: they are `unparsed`.
 */
static inline __u32 weft_http_lose(struct weft_exchange *exchange, int response)
{
	__u32 recognised = *(volatile __u32 *)&exchange->recognised, pushed = *(volatile __u32 *)&exchange->pushed;
	__u32 popped;

	/*
	 * Before anything has been recognised it was no HTTP. Where requests do not wait for the responses to those
	 * before them, nobody can tell which response is for whom.
	 */
	exchange->mode = recognised && !exchange->pipelined ? WEFT_EXCHANGE_LOST : WEFT_EXCHANGE_OPAQUE;
	exchange->turned = response;
	popped = __sync_lock_test_and_set(&exchange->popped, pushed);
	return recognised - popped <= WEFT_HTTP_FOLLOWED ? recognised - popped : 0;
}

/* Whether the whole head of a final response has been read, and its end has not. */
static inline __attribute__((always_inline)) int weft_http_is_answering(const struct weft_exchange *exchange)
{
	return exchange->response.state != WEFT_HTTP_START && exchange->response.state != WEFT_HTTP_FIELDS;
}

enum weft_http_rest {
	WEFT_HTTP_NOTHING_LEFT = 0,
	WEFT_HTTP_LEFT = 1,
	WEFT_HTTP_LEFT_COMPLETE = 2, /* it has been answered: the end of the connection is the end of the response */
};

/*
 * The connection has ended: takes the next request that was recognised and has not been answered completely. `closed`:
 * the server has said that it has sent everything.
 */
WEFT_HTTP_ALONE int weft_http_left(struct weft_exchange *exchange, struct weft_http_answer *answer, __u64 now,
                                   int closed)
{
	const struct weft_http_start *start;
	__u64 ended, answered;
	__u32 number, bit;
	int answering, rest;

	if (!exchange || !answer)
		return WEFT_HTTP_NOTHING_LEFT;
	number = *(volatile __u32 *)&exchange->popped;
	if (exchange->mode != WEFT_EXCHANGE_FOLLOWED || exchange->recognised - number - 1 >= WEFT_HTTP_FOLLOWED)
		return WEFT_HTTP_NOTHING_LEFT;
	if (__sync_val_compare_and_swap(&exchange->popped, number, number + 1) != number)
		return WEFT_HTTP_NOTHING_LEFT;
	bit = 1u << (number & (WEFT_HTTP_FOLLOWED - 1));
	start = &exchange->starts[number & (WEFT_HTTP_TIMED - 1)];
	ended = start->ended_ns;
	answered = exchange->answered_ns;
	answering = weft_http_is_answering(exchange);
	rest = closed && exchange->response.state == WEFT_HTTP_UNTIL_CLOSE ? WEFT_HTTP_LEFT_COMPLETE : WEFT_HTTP_LEFT;
	answer->number = number + 1;
	answer->status = answering ? exchange->response.status : 0;
	answer->timed = !(exchange->untimed & bit);
	answer->route = exchange->routes[number & (WEFT_HTTP_TIMED - 1)];
	answer->duration_ns = now > start->started_ns ? now - start->started_ns : 0;
	answer->first_byte_ns = answering && ended && answered > ended ? answered - ended : 0;
	answer->request_body = start->body;
	if (!ended && number + 1 == exchange->pushed)
		answer->request_body = exchange->request.body;
	answer->response_body = answering ? exchange->response.body : 0;
	exchange->response.state = WEFT_HTTP_START;
	return rest;
}

/* --------------------------------------------------------------------------------------------------- TCP's sequence */

/* What a segment has for a direction. */
enum weft_http_segment {
	WEFT_HTTP_NEW = 0,  /* bytes that have not been seen: from `skip` on */
	WEFT_HTTP_SEEN = 1, /* nothing */
	WEFT_HTTP_GAP = 2,  /* bytes behind others that matter and have not been seen */
};

/* Puts a segment with `length` > 0 bytes from `sequence` on into its place. */
static inline __attribute__((always_inline)) enum weft_http_segment
weft_http_place(struct weft_http_stream *stream, __u32 sequence, __u32 length, __u32 *skip)
{
	__s32 ahead = (__s32)(sequence - stream->expected);

	*skip = 0;
	if (ahead < 0) {
		if ((__u32)-ahead >= length)
			return WEFT_HTTP_SEEN;
		*skip = -ahead;
	} else if (ahead > 0) {
		switch (stream->state) {
		case WEFT_HTTP_BODY:
		case WEFT_HTTP_CHUNK_BODY:
			if ((__u32)ahead > stream->remaining)
				return WEFT_HTTP_GAP;
			stream->remaining -= ahead;
			break;
		case WEFT_HTTP_UNTIL_CLOSE:
			break;
		default:
			return WEFT_HTTP_GAP;
		}
		stream->body += ahead;
	}
	stream->expected = sequence + length;
	return WEFT_HTTP_NEW;
}

/* A request starts after the gap, where it is clear that one does: everything else is forgotten. */
static inline __attribute__((always_inline)) void weft_http_resume(struct weft_exchange *exchange)
{
	exchange->request.state = WEFT_HTTP_START;
	exchange->request.flags = 0;
	exchange->request.carried = 0;
	exchange->restart = 1;
	exchange->turned = 0;
	exchange->mode = WEFT_EXCHANGE_FOLLOWED;
}

/* The first response after that. */
static inline __attribute__((always_inline)) void weft_http_resume_responses(struct weft_exchange *exchange,
                                                                             __u32 sequence)
{
	exchange->restart = 0;
	exchange->response.state = WEFT_HTTP_START;
	exchange->response.flags = 0;
	exchange->response.carried = 0;
	exchange->response.expected = sequence;
}

/* ----------------------------------------------------------------------------------------------------- in one piece */

/*
 * Reads on in a piece whose bytes are all in memory, up to the next request, answer or failure, or to its end. Call it
 * again after the first two.
 */
static inline int weft_http_read(struct weft_exchange *exchange, struct weft_http_scan *scan, int response,
                                 const __u8 *bytes)
{
	int event;

	for (;;) {
		event = weft_http_step(exchange, scan, response);
		if (event == WEFT_HTTP_LOAD) {
			__builtin_memcpy(&scan->window[scan->end], bytes + scan->offset, scan->wanted);
			weft_http_loaded(scan);
		} else if (event != WEFT_HTTP_GO) {
			return event;
		}
	}
}

#endif
