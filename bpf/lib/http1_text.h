/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The text of HTTP/1 messages: the window that lines are read in, start lines, and the fields that say how long a
 * message is. lib/http1.h follows messages with it.
 */
#ifndef WEFT_LIB_HTTP1_TEXT_H
#define WEFT_LIB_HTTP1_TEXT_H

#include "../abi.h"

/* Bytes that are loaded at once, and room for what was left before them and for a look past their end. */
#define WEFT_HTTP_WINDOW 512
#define WEFT_HTTP_ROOM 1024
#define WEFT_HTTP_MARGIN 64

/* What is kept of a line whose beginning has been judged: its end has to be found in it. */
#define WEFT_HTTP_TAIL 16

/*
 * A function that the verifier checks by itself, once: it takes nothing for granted of what its pointers point to, not
 * even that it is there.
 */
#ifdef __bpf__
#define WEFT_HTTP_ALONE __attribute__((noinline))
#else
#define WEFT_HTTP_ALONE static inline
#endif

/* What is no number. */
#define WEFT_HTTP_NO_NUMBER (~0ull)

/* What has to be done next, or has happened. */
enum weft_http_event {
	WEFT_HTTP_GO = 0,   /* take another step */
	WEFT_HTTP_LOAD = 1, /* load `wanted` bytes from `offset` on to `end`, say weft_http_loaded, take another step */
	WEFT_HTTP_DONE = 2, /* the piece has been read */
	WEFT_HTTP_REQUEST = 3,   /* a request's line has been recognised; take another step */
	WEFT_HTTP_ANSWERED = 4,  /* a response has ended: `answer`; take another step */
	WEFT_HTTP_FAILED = 5,    /* it cannot be followed: weft_http_lose */
	WEFT_HTTP_BEGINNING = 6, /* of a request's line that is too long only this is there; take another step */
};

/* A request and its response, both read. */
struct weft_http_answer {
	__u64 duration_ns;
	__u64 first_byte_ns;
	__u64 request_body;
	__u64 response_body;
	__u32 number; /* of the request on its connection, from 1 */
	__u16 status;
	__u8 timed; /* 0: too many waited at the same time, and only its number is known */
	__u8 route; /* as in weft_requests_key */
};

/* One piece of one direction while it is read. */
struct weft_http_scan {
	__u64 now_ns;
	__u32 length; /* of the piece */
	__u32 offset; /* of the next byte of it to load */
	__u32 wanted;
	/* Places in the window: of the line that is read, of the search for its end, and of the end of what is loaded.
	 */
	__u32 line;
	__u32 next;
	__u32 end;
	struct weft_http_answer answer;
	/* After WEFT_HTTP_REQUEST: the request's line, without its end, as far as it is there; and after _BEGINNING. */
	__u32 text;
	__u32 text_length;
	__u64 symbol; /* after weft_http_symbol */
	__u8 window[WEFT_HTTP_ROOM + WEFT_HTTP_MARGIN];
};

/* ------------------------------------------------------------------------------------------------------------ words */

#define WEFT_HTTP_WORD(a, b, c, d, e, f, g, h)                                                                         \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40 |    \
	 (__u64)(g) << 48 | (__u64)(h) << 56)
#define WEFT_HTTP_EACH(byte) (0x0101010101010101ull * (byte))

/* Eight bytes, the first of them the lowest. */
static inline __attribute__((always_inline)) __u64 weft_http_word(const __u8 *at)
{
#ifdef __bpf__
	/* Every architecture that the programs run on loads words from anywhere; the compiler would not. */
	__u64 word = *(const __u64 *)at;
#else
	__u64 word;

	__builtin_memcpy(&word, at, sizeof(word));
#endif
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

/* Copies WEFT_HTTP_CARRY bytes. */
static inline __attribute__((always_inline)) void weft_http_copy(__u8 *to, const __u8 *from)
{
#ifdef __bpf__
	for (int i = 0; i < WEFT_HTTP_CARRY / 8; i++)
		((__u64 *)to)[i] = ((const __u64 *)from)[i];
#else
	__builtin_memmove(to, from, WEFT_HTTP_CARRY);
#endif
}

/* The place in the window: the mask changes nothing; the verifier wants to see it. */
static inline __attribute__((always_inline)) const __u8 *weft_http_at(const struct weft_http_scan *scan, __u32 place)
{
	return &scan->window[place & (WEFT_HTTP_ROOM - 1)];
}

/* Marks the first byte of a word that is `byte`, and perhaps later ones; 0 if none is. */
static inline __attribute__((always_inline)) __u64 weft_http_same(__u64 word, __u8 byte)
{
	__u64 zeros = word ^ WEFT_HTTP_EACH(byte);

	return (zeros - WEFT_HTTP_EACH(1)) & ~zeros & WEFT_HTTP_EACH(0x80);
}

/* The number of the first byte that is marked. */
static inline __attribute__((always_inline)) __u32 weft_http_first(__u64 marks)
{
	__u64 lowest = marks & -marks;

	return (__u32)(((lowest - 1) & WEFT_HTTP_EACH(1)) * WEFT_HTTP_EACH(1) >> 56) - 1;
}

/* How far it is to the first line feed; WEFT_HTTP_MARGIN if none is in so many bytes. */
static inline __attribute__((always_inline)) __u32 weft_http_line_end(const __u8 *at)
{
#pragma unroll
	for (__u32 i = 0; i < WEFT_HTTP_MARGIN; i += 8) {
		__u64 marks = weft_http_same(weft_http_word(at + i), '\n');

		if (marks)
			return i + weft_http_first(marks);
	}
	return WEFT_HTTP_MARGIN;
}

/* ---------------------------------------------------------------------------------------------------------- symbols */

/* Bytes of a method, or of a path's segment, that are told apart from others: one less. */
#define WEFT_SYMBOL_LENGTH WEFT_HTTP_MARGIN

#define WEFT_SYMBOL_SEED 0x9e3779b97f4a7c15ull

static inline __attribute__((always_inline)) __u64 weft_symbol_mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0xd6e8feb86659fd93ull;
	return hash ^ hash >> 32;
}

/* Neither "any" nor "root". */
static inline __attribute__((always_inline)) __u64 weft_symbol_end(__u64 hash, __u64 word, __u32 length)
{
	word &= (1ull << 8 * (length & 7)) - 1;
	hash = weft_symbol_mix(weft_symbol_mix(hash, word), length);
	return hash == WEFT_SYMBOL_ANY || hash == WEFT_SYMBOL_ROOT ? 1 : hash;
}

/*
 * Reads what is between `place` and the next space, slash or question mark: leaves its symbol in the scan, and returns
 * where it ends. What is too long has no symbol: 0.
 */
WEFT_HTTP_ALONE __u32 weft_http_symbol(struct weft_http_scan *scan, __u32 place)
{
	__u64 hash = WEFT_SYMBOL_SEED;

	if (!scan)
		return place;
#pragma unroll
	for (__u32 i = 0; i < WEFT_SYMBOL_LENGTH; i += 8) {
		__u64 word = weft_http_word(weft_http_at(scan, place) + i);
		__u64 marks = weft_http_same(word, ' ') | weft_http_same(word, '/') | weft_http_same(word, '?');

		if (marks) {
			__u32 length = weft_http_first(marks);

			scan->symbol = weft_symbol_end(hash, word, i + length);
			return place + i + length;
		}
		hash = weft_symbol_mix(hash, word);
	}
	scan->symbol = 0;
	return place;
}

/* The symbol of bytes in memory: what weft_http_symbol finds for the same ones; 0 if they are too many. */
static inline __u64 weft_symbol_of(const __u8 *bytes, __u32 length)
{
	__u64 hash = WEFT_SYMBOL_SEED, word = 0;
	__u32 i;

	if (length >= WEFT_SYMBOL_LENGTH)
		return 0;
	for (i = 0; i < length; i++) {
		word |= (__u64)bytes[i] << 8 * (i & 7);
		if ((i & 7) == 7) {
			hash = weft_symbol_mix(hash, word);
			word = 0;
		}
	}
	return weft_symbol_end(hash, word, length);
}

static inline __attribute__((always_inline)) int weft_http_is_space(__u8 byte)
{
	return byte == ' ' || byte == '\t';
}

static inline __attribute__((always_inline)) int weft_http_is_digit(__u8 byte)
{
	return byte >= '0' && byte <= '9';
}

/* RFC 9110 section 5.6.2. */
static inline __attribute__((always_inline)) int weft_http_is_token(__u8 byte)
{
	/* ! # $ % & ' * + - . 0-9, then A-Z ^ _ ` a-z | ~ */
	const __u64 low = 0x03ff6cfa00000000ull, high = 0x57ffffffc7fffffeull;

	if (byte & 0x80)
		return 0;
	return (byte & 0x40 ? high : low) >> (byte & 0x3f) & 1;
}

/* ------------------------------------------------------------------------------------------------------ start lines */

enum weft_http_method {
	WEFT_HTTP_NO_METHOD = 0,  /* this is no request */
	WEFT_HTTP_UNFINISHED = 1, /* it may be one */
	WEFT_HTTP_HEAD = 2,
	WEFT_HTTP_CONNECT = 3,
	WEFT_HTTP_OTHER_METHOD = 4,
};

#define WEFT_HTTP_METHOD_LENGTH 32

/*
 * What the bytes from `place` on, `length` of them, begin: a method and the first byte of a target. It is recognised by
 * these, before the line is there: what other protocols begin with has no such form.
 */
WEFT_HTTP_ALONE int weft_http_method(const struct weft_http_scan *scan, __u32 place, __u32 length)
{
	__u64 word;
	__u32 i;
	__u8 target;

	if (!scan)
		return WEFT_HTTP_NO_METHOD;
	word = weft_http_word(weft_http_at(scan, place));
	if (length >= 6) {
		if ((word & 0xffffffffff) == WEFT_HTTP_WORD('G', 'E', 'T', ' ', '/', 0, 0, 0))
			return WEFT_HTTP_OTHER_METHOD;
		if ((word & 0xffffffffffff) == WEFT_HTTP_WORD('P', 'O', 'S', 'T', ' ', '/', 0, 0))
			return WEFT_HTTP_OTHER_METHOD;
	}
	for (i = 0; i <= WEFT_HTTP_METHOD_LENGTH; i++) {
		__u8 byte = *weft_http_at(scan, place + i);

		if (i >= length)
			return WEFT_HTTP_UNFINISHED;
		if (byte == ' ')
			break;
		if (!weft_http_is_token(byte))
			return WEFT_HTTP_NO_METHOD;
	}
	if (i == 0 || i > WEFT_HTTP_METHOD_LENGTH)
		return WEFT_HTTP_NO_METHOD;
	if (i + 1 >= length)
		return WEFT_HTTP_UNFINISHED;
	if (i == 7 && word == WEFT_HTTP_WORD('C', 'O', 'N', 'N', 'E', 'C', 'T', ' '))
		return WEFT_HTTP_CONNECT;
	target = *weft_http_at(scan, place + i + 1);
	if (target != '/' && target != '*' && (target | 0x20) != 'h')
		return WEFT_HTTP_NO_METHOD;
	if ((word & 0xffffffffff) == WEFT_HTTP_WORD('H', 'E', 'A', 'D', ' ', 0, 0, 0))
		return WEFT_HTTP_HEAD;
	return WEFT_HTTP_OTHER_METHOD;
}

static inline __attribute__((always_inline)) __u32 weft_http_waiting(const struct weft_exchange *exchange)
{
	return *(volatile __u32 *)&exchange->pushed - *(volatile __u32 *)&exchange->popped;
}

/* A message's first byte has come. Returns 0 if it cannot be followed. */
static inline __attribute__((always_inline)) int weft_http_begin(struct weft_exchange *exchange,
                                                                 struct weft_http_stream *stream,
                                                                 const struct weft_http_scan *scan, int response)
{
	__u32 waiting = weft_http_waiting(exchange);
	__u32 number, bit;

	if (stream->flags & WEFT_HTTP_BEGUN)
		return 1;
	stream->flags = WEFT_HTTP_BEGUN;
	stream->body = 0;
	stream->remaining = 0;
	if (response) {
		exchange->answered_ns = scan->now_ns;
		return waiting != 0;
	}
	if (waiting >= WEFT_HTTP_FOLLOWED)
		return 0;
	number = exchange->pushed;
	bit = 1u << (number & (WEFT_HTTP_FOLLOWED - 1));
	if (waiting)
		exchange->pipelined = 1;
	if (waiting >= WEFT_HTTP_TIMED) {
		exchange->untimed |= bit;
	} else {
		struct weft_http_start *start = &exchange->starts[number & (WEFT_HTTP_TIMED - 1)];

		start->started_ns = scan->now_ns;
		start->ended_ns = 0;
		start->body = 0;
		exchange->routes[number & (WEFT_HTTP_TIMED - 1)] = 0;
		exchange->untimed &= ~bit;
	}
	exchange->heads &= ~bit;
	exchange->connects &= ~bit;
	__sync_lock_test_and_set(&exchange->pushed, number + 1);
	return 1;
}

/* Notes the route template of the request that has begun last. */
static inline __attribute__((always_inline)) void weft_http_take_route(struct weft_exchange *exchange, __u8 route)
{
	__u32 number = exchange->pushed - 1;

	if (!(exchange->untimed & 1u << (number & (WEFT_HTTP_FOLLOWED - 1))))
		exchange->routes[number & (WEFT_HTTP_TIMED - 1)] = route;
}

/* Notes the method of the request that has begun last. */
static inline __attribute__((always_inline)) int weft_http_take_method(struct weft_exchange *exchange, int method)
{
	__u32 bit = 1u << ((exchange->pushed - 1) & (WEFT_HTTP_FOLLOWED - 1));

	if (method == WEFT_HTTP_HEAD)
		exchange->heads |= bit;
	else if (method == WEFT_HTTP_CONNECT)
		exchange->connects |= bit;
	return method > WEFT_HTTP_UNFINISHED;
}

/* A request's line is there, with its carriage return before `end`. Returns 0 if it is none. */
static inline __attribute__((always_inline)) int weft_http_request_line(struct weft_exchange *exchange,
                                                                        struct weft_http_stream *stream,
                                                                        struct weft_http_scan *scan, __u32 line,
                                                                        __u32 end)
{
	__u32 length = end - line;
	__u8 minor;

	/* The shortest is "A / HTTP/1.1" with its carriage return; of a long line the tail is there. */
	if (length < 13)
		return 0;
	minor = *weft_http_at(scan, end - 2);
	if (weft_http_word(weft_http_at(scan, end - 10)) != WEFT_HTTP_WORD(' ', 'H', 'T', 'T', 'P', '/', '1', '.') ||
	    (minor != '0' && minor != '1'))
		return 0;
	if (stream->flags & WEFT_HTTP_LONG)
		scan->text_length = 0;
	else if (weft_http_take_method(exchange, weft_http_method(scan, line, length)))
		scan->text_length = length - 1;
	else
		return 0;
	scan->text = line;
	if (minor == '0')
		stream->flags |= WEFT_HTTP_OLD;
	exchange->recognised = exchange->pushed;
	return 1;
}

/* At least 13 bytes of a response's first line are there. Returns 0 if it is none. */
static inline __attribute__((always_inline)) int weft_http_status_line(struct weft_http_stream *stream,
                                                                       const struct weft_http_scan *scan, __u32 line)
{
	__u64 version = weft_http_word(weft_http_at(scan, line));
	__u64 status = weft_http_word(weft_http_at(scan, line + 8));
	__u32 hundreds = (status >> 8 & 0xff) - '0', tens = (status >> 16 & 0xff) - '0',
	      units = (status >> 24 & 0xff) - '0';
	__u8 behind = status >> 32 & 0xff;

	if (version == WEFT_HTTP_WORD('H', 'T', 'T', 'P', '/', '1', '.', '0'))
		stream->flags |= WEFT_HTTP_OLD;
	else if (version != WEFT_HTTP_WORD('H', 'T', 'T', 'P', '/', '1', '.', '1'))
		return 0;
	if ((status & 0xff) != ' ' || hundreds - 1 > 8 || tens > 9 || units > 9 || (behind != ' ' && behind != '\r'))
		return 0;
	stream->status = hundreds * 100 + tens * 10 + units;
	return 1;
}

/* ----------------------------------------------------------------------------------------------------------- fields */

/* Digits that fit, whatever they are; and white space that is skipped on either side of a value. */
#define WEFT_HTTP_NUMBER_LENGTH 18
#define WEFT_HTTP_SPACE_LENGTH 8

/* The value of Content-Length; WEFT_HTTP_NO_NUMBER for everything but one number. */
WEFT_HTTP_ALONE __u64 weft_http_content_length(const struct weft_http_scan *scan, __u32 place, __u32 end)
{
	__u64 length = 0;
	__u32 i;

	if (!scan)
		return WEFT_HTTP_NO_NUMBER;
	for (i = 0; i < WEFT_HTTP_SPACE_LENGTH && weft_http_is_space(*weft_http_at(scan, place)); i++)
		place++;
	for (i = 0; i < WEFT_HTTP_SPACE_LENGTH && weft_http_is_space(*weft_http_at(scan, end - 1)); i++)
		end--;
	for (i = 0; i < WEFT_HTTP_NUMBER_LENGTH; i++) {
		__u8 byte = *weft_http_at(scan, place + i);

		if (place + i >= end)
			break;
		if (!weft_http_is_digit(byte))
			return WEFT_HTTP_NO_NUMBER;
		length = length * 10 + (byte - '0');
	}
	return i && place + i == end ? length : WEFT_HTTP_NO_NUMBER;
}

/* The lower-case bits of a word's first letters. */
#define WEFT_HTTP_LOWER(n) (WEFT_HTTP_EACH(0x20) >> (64 - 8 * (n)))

static inline __attribute__((always_inline)) int weft_http_is_chunked(const struct weft_http_scan *scan, __u32 place)
{
	__u64 word = (weft_http_word(weft_http_at(scan, place)) | WEFT_HTTP_LOWER(7)) & 0xffffffffffffffull;

	return word == WEFT_HTTP_WORD('c', 'h', 'u', 'n', 'k', 'e', 'd', 0);
}

enum weft_http_coding {
	WEFT_HTTP_UNCLEAR = 0,
	WEFT_HTTP_LAST_CHUNKED = 1,
	WEFT_HTTP_LAST_OTHER = 2, /* the message ends with the connection */
};

/* The value of Transfer-Encoding. */
WEFT_HTTP_ALONE int weft_http_transfer_encoding(const struct weft_http_scan *scan, __u32 place, __u32 end)
{
	__u8 before;

	if (!scan || end - place > WEFT_HTTP_WINDOW)
		return WEFT_HTTP_UNCLEAR;
	for (__u32 i = 0; i < WEFT_HTTP_SPACE_LENGTH && weft_http_is_space(*weft_http_at(scan, place)); i++)
		place++;
	for (__u32 i = 0; i < WEFT_HTTP_SPACE_LENGTH && weft_http_is_space(*weft_http_at(scan, end - 1)); i++)
		end--;
	if (place >= end)
		return WEFT_HTTP_UNCLEAR;
	if (end - place < 7)
		return WEFT_HTTP_LAST_OTHER;
	if (!weft_http_is_chunked(scan, end - 7))
		return weft_http_is_chunked(scan, place) ? WEFT_HTTP_UNCLEAR : WEFT_HTTP_LAST_OTHER;
	if (end - place == 7)
		return WEFT_HTTP_LAST_CHUNKED;
	before = *weft_http_at(scan, end - 8);
	if (weft_http_is_chunked(scan, place) || (before != ',' && !weft_http_is_space(before)))
		return WEFT_HTTP_UNCLEAR;
	return WEFT_HTTP_LAST_CHUNKED;
}

/* Notes the length; returns 0 if the message cannot be followed. */
static inline __attribute__((always_inline)) int weft_http_take_length(struct weft_http_stream *stream, __u64 length)
{
	if (length == WEFT_HTTP_NO_NUMBER || (stream->flags & WEFT_HTTP_SIZED && stream->remaining != length))
		return 0;
	stream->flags |= WEFT_HTTP_SIZED;
	stream->remaining = length;
	return 1;
}

static inline __attribute__((always_inline)) int weft_http_take_coding(struct weft_http_stream *stream, int coding)
{
	if (coding == WEFT_HTTP_UNCLEAR || stream->flags & (WEFT_HTTP_CHUNKED | WEFT_HTTP_CODED))
		return 0;
	stream->flags |= coding == WEFT_HTTP_LAST_CHUNKED ? WEFT_HTTP_CHUNKED : WEFT_HTTP_CODED;
	return 1;
}

/*
 * A field's line. Only what frames the message is looked at. `complete`: the whole line is there, with its carriage
 * return before `end`. Returns 0 if the message cannot be followed.
 */
static inline __attribute__((always_inline)) int
weft_http_field(struct weft_http_stream *stream, struct weft_http_scan *scan, __u32 line, __u32 end, int complete)
{
	__u64 word = weft_http_word(weft_http_at(scan, line)), rest;
	__u8 behind;

	if (weft_http_is_space((__u8)word))
		/* The line before goes on, for those who still understand that. */
		return 0;
	if ((word | WEFT_HTTP_LOWER(7)) == WEFT_HTTP_WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-')) {
		rest = weft_http_word(weft_http_at(scan, line + 8)) | WEFT_HTTP_LOWER(6);
		if ((rest & 0xffffffffffffull) != WEFT_HTTP_WORD('l', 'e', 'n', 'g', 't', 'h', 0, 0))
			return 1;
		behind = rest >> 48 & 0xff;
		if (behind != ':')
			return !weft_http_is_space(behind);
		return complete && weft_http_take_length(stream, weft_http_content_length(scan, line + 15, end - 1));
	}
	if ((word | WEFT_HTTP_LOWER(8)) == WEFT_HTTP_WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r')) {
		rest = weft_http_word(weft_http_at(scan, line + 8)) | WEFT_HTTP_LOWER(8) << 8;
		if (rest != WEFT_HTTP_WORD('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n') ||
		    (*weft_http_at(scan, line + 16) | 0x20) != 'g')
			return 1;
		behind = *weft_http_at(scan, line + 17);
		if (behind != ':')
			return !weft_http_is_space(behind);
		return complete && weft_http_take_coding(stream, weft_http_transfer_encoding(scan, line + 18, end - 1));
	}
	return 1;
}

#endif
