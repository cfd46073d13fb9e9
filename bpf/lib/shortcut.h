/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Decides about a request by its head, and reads the head of its response, for the shortcut: strictly. What is accepted
 * here is a part of what the proxy's own parser accepts, and means the same there; everything else is the proxy's to
 * judge. Pure: compiles for the host too.
 *
 * A head is in the scan's window as a whole. Its lines are read one by one; each function does a bounded piece of work,
 * as the verifier wants it.
 */
#ifndef WEFT_LIB_SHORTCUT_H
#define WEFT_LIB_SHORTCUT_H

#include "http1_text.h"

/* Lines of a head, and bytes of its target, that are read. */
#define WEFT_SHORTCUT_LINES 64
#define WEFT_SHORTCUT_TARGET 256

/* Bytes of a field's name, and of its value. */
#define WEFT_SHORTCUT_NAME 32
#define WEFT_SHORTCUT_VALUE 512

/* Chunks of a response, digits of a chunk's size, and bytes between two chunks' contents, that are read. */
#define WEFT_SHORTCUT_CHUNKS 64
#define WEFT_SHORTCUT_CHUNK_DIGITS 7
#define WEFT_SHORTCUT_CHUNK_LINE 16

enum weft_shortcut_seen {
	WEFT_SHORTCUT_HAS_HOST = 1,
	WEFT_SHORTCUT_HAS_LENGTH = 2,
	WEFT_SHORTCUT_COMPLETE = 4, /* the empty line */
	WEFT_SHORTCUT_CHUNKED = 8,  /* a response's content is in chunks */
};

/* What a head says. */
struct weft_shortcut_head {
	__u64 content_length;
	__u64 path[WEFT_SHORTCUT_WORDS]; /* its first bytes, zeros behind it */
	__u32 path_length;
	__u32 line;   /* place in the window of the line that is read next */
	__u32 end;    /* of what is in the window */
	__u32 seen;   /* enum weft_shortcut_seen */
	__u32 method; /* one of enum weft_shortcut_method */
	__u32 status; /* of a response */
	__u32 host;   /* place of Host's value */
	__u32 host_length;
	__u32 chunk; /* size of the chunk whose line was read last */
};

/* ------------------------------------------------------------------------------------------------------------ words */

#define WEFT_SHORTCUT_HIGH WEFT_HTTP_EACH(0x80)

/* Marks the bytes from `low` on up to `high` in a word of bytes below 0x80. */
static inline __attribute__((always_inline)) __u64 weft_shortcut_between(__u64 word, __u8 low, __u8 high)
{
	return (word + WEFT_HTTP_EACH((__u64)(0x80 - low))) & ~(word + WEFT_HTTP_EACH((__u64)(0x7f - high))) &
	       WEFT_SHORTCUT_HIGH;
}

/* Marks the bytes of a word that are neither letters, digits nor hyphens. */
static inline __attribute__((always_inline)) __u64 weft_shortcut_not_name(__u64 word)
{
	__u64 low = word & ~WEFT_SHORTCUT_HIGH;
	__u64 good = weft_shortcut_between(low | WEFT_HTTP_EACH(0x20), 'a', 'z') |
	             weft_shortcut_between(low, '0', '9') | weft_shortcut_between(low, '-', '-');

	/* The bit that makes letters small also makes some controls something else, but no letters. */
	return (~good | word) & WEFT_SHORTCUT_HIGH;
}

/* Marks the bytes of a word that are no printing characters of ASCII, nor spaces. */
static inline __attribute__((always_inline)) __u64 weft_shortcut_not_value(__u64 word)
{
	__u64 low = word & ~WEFT_SHORTCUT_HIGH;

	return (~weft_shortcut_between(low, ' ', '~') | word) & WEFT_SHORTCUT_HIGH;
}

/* Of a word the first `count` bytes, zeros behind them. */
static inline __attribute__((always_inline)) __u64 weft_shortcut_cut(__u64 word, __u32 count)
{
	return count >= 8 ? word : word & ((1ull << (8 * (count & 7))) - 1);
}

/* ------------------------------------------------------------------------------------------------------- start lines
 */

/* The method that a word begins with, and its length with the space behind it. */
static inline __attribute__((always_inline)) __u32 weft_shortcut_method_of(__u64 word, __u32 *length)
{
	if ((word & 0xffffffff) == WEFT_HTTP_WORD('G', 'E', 'T', ' ', 0, 0, 0, 0)) {
		*length = 4;
		return WEFT_SHORTCUT_GET;
	}
	if ((word & 0xffffffff) == WEFT_HTTP_WORD('P', 'U', 'T', ' ', 0, 0, 0, 0)) {
		*length = 4;
		return WEFT_SHORTCUT_PUT;
	}
	if ((word & 0xffffffffff) == WEFT_HTTP_WORD('P', 'O', 'S', 'T', ' ', 0, 0, 0)) {
		*length = 5;
		return WEFT_SHORTCUT_POST;
	}
	if ((word & 0xffffffffff) == WEFT_HTTP_WORD('H', 'E', 'A', 'D', ' ', 0, 0, 0)) {
		*length = 5;
		return WEFT_SHORTCUT_HEAD;
	}
	if ((word & 0xffffffffffff) == WEFT_HTTP_WORD('P', 'A', 'T', 'C', 'H', ' ', 0, 0)) {
		*length = 6;
		return WEFT_SHORTCUT_PATCH;
	}
	if ((word & 0xffffffffffffff) == WEFT_HTTP_WORD('D', 'E', 'L', 'E', 'T', 'E', ' ', 0)) {
		*length = 7;
		return WEFT_SHORTCUT_DELETE;
	}
	if (word == WEFT_HTTP_WORD('O', 'P', 'T', 'I', 'O', 'N', 'S', ' ')) {
		*length = 8;
		return WEFT_SHORTCUT_OPTIONS;
	}
	return 0;
}

/* What stands in a path that is its own normal form: letters, digits and ! $ & ' ( ) * + , - . / : ; = @ _ ~ */
static inline __attribute__((always_inline)) int weft_shortcut_is_path(__u8 byte)
{
	const __u64 low = 0x2fffffd200000000ull, high = 0x47fffffe87ffffffull;

	if (byte & 0x80)
		return 0;
	return (byte & 0x40 ? high : low) >> (byte & 0x3f) & 1;
}

/*
 * Where a path that is its own normal form ends that begins at `place`, by its first byte that belongs to none; 0 if it
 * is too long, or has segments that are empty or begin with a dot: those are not looked at closely.
 */
WEFT_HTTP_ALONE __u32 weft_shortcut_path_end(const struct weft_http_scan *scan, __u32 place)
{
	__u8 before = 0;

	__u32 i;

	if (!scan)
		return 0;
	for (i = 0; i < WEFT_SHORTCUT_TARGET; i++) {
		__u8 byte = *weft_http_at(scan, place + i);

		if (!weft_shortcut_is_path(byte))
			break;
		if (before == '/' && (byte == '/' || byte == '.'))
			return 0;
		before = byte;
	}
	return i < WEFT_SHORTCUT_TARGET ? place + i : 0;
}

/* The same for a query. */
WEFT_HTTP_ALONE __u32 weft_shortcut_query_end(const struct weft_http_scan *scan, __u32 place)
{
	__u32 i;

	if (!scan)
		return 0;
	for (i = 0; i < WEFT_SHORTCUT_TARGET; i++) {
		__u8 byte = *weft_http_at(scan, place + i);

		if (!weft_shortcut_is_path(byte) && byte != '%' && byte != '?')
			break;
	}
	return i < WEFT_SHORTCUT_TARGET ? place + i : 0;
}

/*
 * Where what may stand in a field's value ends: by the first byte that is neither a printing character of ASCII nor a
 * space; 0 if it is too long.
 */
WEFT_HTTP_ALONE __u32 weft_shortcut_value_end(const struct weft_http_scan *scan, __u32 place)
{
	if (!scan)
		return 0;
	for (__u32 i = 0; i < WEFT_SHORTCUT_VALUE; i += 8) {
		__u64 marks = weft_shortcut_not_value(weft_http_word(weft_http_at(scan, place + i)));

		if (marks)
			return place + i + weft_http_first(marks);
	}
	return 0;
}

/*
 * Reads the request's line: a method that is told apart, a path that is its own normal form, perhaps a query. Returns 0
 * if it is anything else.
 */
WEFT_HTTP_ALONE int weft_shortcut_request_line(struct weft_shortcut_head *head, struct weft_http_scan *scan, __u32 end)
{
	__u32 length = 0, place, path;

	if (!head || !scan)
		return 0;
	head->seen = 0;
	head->content_length = 0;
	head->end = end;
	head->method = weft_shortcut_method_of(weft_http_word(weft_http_at(scan, 0)), &length);
	path = length;
	if (!head->method || *weft_http_at(scan, path) != '/')
		return 0;
	place = weft_shortcut_path_end(scan, path);
	if (!place)
		return 0;
	head->path_length = place - path;
	if (*weft_http_at(scan, place) == '?') {
		place = weft_shortcut_query_end(scan, place + 1);
		if (!place)
			return 0;
	}
	/* "HTTP/1.1" and the line's end are behind a space. */
	if (*weft_http_at(scan, place) != ' ' || place + 11 > end ||
	    weft_http_word(weft_http_at(scan, place + 1)) != WEFT_HTTP_WORD('H', 'T', 'T', 'P', '/', '1', '.', '1') ||
	    *weft_http_at(scan, place + 9) != '\r' || *weft_http_at(scan, place + 10) != '\n')
		return 0;
	for (__u32 i = 0; i < WEFT_SHORTCUT_WORDS; i++) {
		__u32 from = 8 * i;
		__u64 word = weft_http_word(weft_http_at(scan, path + from));

		head->path[i] = from >= head->path_length ? 0 : weft_shortcut_cut(word, head->path_length - from);
	}
	/* For the templates of routes. */
	scan->text = 0;
	scan->text_length = place + 9;
	head->line = place + 11;
	return 1;
}

/* Reads a response's first line; returns 0 if it is anything else than a final one of HTTP/1.1. */
WEFT_HTTP_ALONE int weft_shortcut_status_line(struct weft_shortcut_head *head, const struct weft_http_scan *scan,
                                              __u32 end)
{
	__u64 status;
	__u32 hundreds, tens, units, place;

	if (!head || !scan || end < 17)
		return 0;
	head->seen = 0;
	head->content_length = 0;
	head->end = end;
	status = weft_http_word(weft_http_at(scan, 8));
	hundreds = (status >> 8 & 0xff) - '0';
	tens = (status >> 16 & 0xff) - '0';
	units = (status >> 24 & 0xff) - '0';
	if (weft_http_word(weft_http_at(scan, 0)) != WEFT_HTTP_WORD('H', 'T', 'T', 'P', '/', '1', '.', '1') ||
	    (status & 0xff) != ' ' || hundreds - 2 > 3 || tens > 9 || units > 9 || (status >> 32 & 0xff) != ' ')
		return 0;
	head->status = hundreds * 100 + tens * 10 + units;
	place = weft_shortcut_value_end(scan, 12);
	if (!place || place + 2 > end || *weft_http_at(scan, place) != '\r' || *weft_http_at(scan, place + 1) != '\n')
		return 0;
	head->line = place + 2;
	return 1;
}

/* ------------------------------------------------------------------------------------------------------------ fields
 */

/* The value of Content-Length: digits alone. Returns 0 if it is anything else, or there has been one. */
static inline __attribute__((always_inline)) int
weft_shortcut_length(struct weft_shortcut_head *head, const struct weft_http_scan *scan, __u32 place, __u32 end)
{
	__u64 length = 0;
	__u32 i;

	for (i = 0; i < 10; i++) {
		__u8 byte = *weft_http_at(scan, place + i);

		if (place + i >= end)
			break;
		if (!weft_http_is_digit(byte))
			return 0;
		length = length * 10 + (byte - '0');
	}
	if (!i || place + i != end || head->seen & WEFT_SHORTCUT_HAS_LENGTH)
		return 0;
	head->seen |= WEFT_SHORTCUT_HAS_LENGTH;
	head->content_length = length;
	return 1;
}

/* Transfer-Encoding, or what has a name as long that begins like it. Returns 0 if it is anything else than chunked. */
static inline __attribute__((always_inline)) int weft_shortcut_coding(struct weft_shortcut_head *head,
                                                                      const struct weft_http_scan *scan, __u32 line,
                                                                      __u64 second, __u32 value, __u32 end)
{
	__u64 coding = (weft_http_word(weft_http_at(scan, value)) | WEFT_HTTP_EACH(0x20)) & 0xffffffffffffff;

	if (second != WEFT_HTTP_WORD('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n') ||
	    (*weft_http_at(scan, line + 16) | 0x20) != 'g' || end - value != 7 ||
	    coding != WEFT_HTTP_WORD('c', 'h', 'u', 'n', 'k', 'e', 'd', 0) || head->seen & WEFT_SHORTCUT_CHUNKED)
		return 0;
	head->seen |= WEFT_SHORTCUT_CHUNKED;
	return 1;
}

/*
 * Judges a field whose name has `length` bytes: 0 for one that is about the connection or is the agent's to understand,
 * and for one that frames the message in any other way than by its length, or a response by its chunks.
 */
static inline __attribute__((always_inline)) int weft_shortcut_judge(struct weft_shortcut_head *head,
                                                                     const struct weft_http_scan *scan, __u32 line,
                                                                     __u32 length, __u32 value, __u32 end, int response)
{
	__u64 first = weft_http_word(weft_http_at(scan, line)) | WEFT_HTTP_EACH(0x20);
	__u64 second = weft_http_word(weft_http_at(scan, line + 8)) | WEFT_HTTP_EACH(0x20);

	if (!response && length >= 8 && first == WEFT_HTTP_WORD('x', '-', 'e', 'n', 'v', 'o', 'y', '-'))
		return 0;
	switch (length) {
	case 2:
		return (first & 0xffff) != WEFT_HTTP_WORD('t', 'e', 0, 0, 0, 0, 0, 0);
	case 4:
		if (response || (first & 0xffffffff) != WEFT_HTTP_WORD('h', 'o', 's', 't', 0, 0, 0, 0))
			return 1;
		if (head->seen & WEFT_SHORTCUT_HAS_HOST)
			return 0;
		head->seen |= WEFT_SHORTCUT_HAS_HOST;
		head->host = value;
		head->host_length = end - value;
		return 1;
	case 6:
		return (first & 0xffffffffffff) != WEFT_HTTP_WORD('e', 'x', 'p', 'e', 'c', 't', 0, 0);
	case 7:
		first &= 0xffffffffffffff;
		return first != WEFT_HTTP_WORD('u', 'p', 'g', 'r', 'a', 'd', 'e', 0) &&
		       first != WEFT_HTTP_WORD('t', 'r', 'a', 'i', 'l', 'e', 'r', 0);
	case 10:
		second &= 0xffff;
		if (first == WEFT_HTTP_WORD('k', 'e', 'e', 'p', '-', 'a', 'l', 'i') &&
		    second == WEFT_HTTP_WORD('v', 'e', 0, 0, 0, 0, 0, 0))
			/* How long the server keeps a connection is the server's business. */
			return response;
		if (first != WEFT_HTTP_WORD('c', 'o', 'n', 'n', 'e', 'c', 't', 'i') ||
		    second != WEFT_HTTP_WORD('o', 'n', 0, 0, 0, 0, 0, 0))
			return 1;
		return end - value == 10 &&
		       (weft_http_word(weft_http_at(scan, value)) | WEFT_HTTP_EACH(0x20)) ==
		           WEFT_HTTP_WORD('k', 'e', 'e', 'p', '-', 'a', 'l', 'i') &&
		       ((weft_http_word(weft_http_at(scan, value + 8)) | WEFT_HTTP_EACH(0x20)) & 0xffff) ==
		           WEFT_HTTP_WORD('v', 'e', 0, 0, 0, 0, 0, 0);
	case 12:
		return first != WEFT_HTTP_WORD('g', 'r', 'p', 'c', '-', 't', 'i', 'm');
	case 14:
		if (first != WEFT_HTTP_WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-') ||
		    (second & 0xffffffffffff) != WEFT_HTTP_WORD('l', 'e', 'n', 'g', 't', 'h', 0, 0))
			return 1;
		return weft_shortcut_length(head, scan, value, end);
	case 16:
		return first != WEFT_HTTP_WORD('p', 'r', 'o', 'x', 'y', '-', 'c', 'o');
	case 17:
		if (first != WEFT_HTTP_WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r'))
			return 1;
		return response && weft_shortcut_coding(head, scan, line, second, value, end);
	}
	return 1;
}

/*
 * Reads the line at `head->line`: a field, or the empty line that ends the head. Returns 0 if the head is the agent's
 * to judge.
 */
WEFT_HTTP_ALONE int weft_shortcut_line(struct weft_shortcut_head *head, const struct weft_http_scan *scan, int response)
{
	__u32 line, length, value, place, i;
	__u64 marks = 0;

	if (!head || !scan)
		return 0;
	line = head->line;
	place = line;
	for (i = 0; i < WEFT_SHORTCUT_NAME && !marks; i += 8) {
		marks = weft_shortcut_not_name(weft_http_word(weft_http_at(scan, place)));
		if (!marks)
			place += 8;
	}
	if (!marks)
		return 0;
	place += weft_http_first(marks);
	if (place == line) {
		if (line + 2 > head->end || *weft_http_at(scan, line) != '\r' || *weft_http_at(scan, line + 1) != '\n')
			return 0;
		/* A length of what has no content (RFC 9110 section 8.6) is taken out on the way. */
		if (response && head->status == 204 && head->seen & WEFT_SHORTCUT_HAS_LENGTH)
			return 0;
		/* Who reads both may understand either, and what has no content has no chunks. */
		if (head->seen & WEFT_SHORTCUT_CHUNKED &&
		    (head->seen & WEFT_SHORTCUT_HAS_LENGTH || head->status == 204 || head->status == 304))
			return 0;
		head->seen |= WEFT_SHORTCUT_COMPLETE;
		head->line = line + 2;
		return 1;
	}
	if (*weft_http_at(scan, place) != ':')
		return 0;
	length = place - line;
	place++;
	if (*weft_http_at(scan, place) == ' ')
		place++;
	value = place;
	place = weft_shortcut_value_end(scan, value);
	if (!place || place + 2 > head->end || *weft_http_at(scan, place) != '\r' ||
	    *weft_http_at(scan, place + 1) != '\n')
		return 0;
	/* White space that belongs to no value is for others to strip. */
	if (value < place && (*weft_http_at(scan, value) == ' ' || *weft_http_at(scan, place - 1) == ' '))
		return 0;
	head->line = place + 2;
	return weft_shortcut_judge(head, scan, line, length, value, place, response);
}

/* ------------------------------------------------------------------------------------------------------------ chunks
 */

/*
 * Reads what is between two chunks' contents, which is at the beginning of the window, `end` bytes of it and what is
 * behind it: the end of the chunk before, unless there is none, and the next one's size, which is left in the head.
 * With the last one, whose size is 0, comes the end of a trailer section without fields. Returns how long that is; 0:
 * it has anything else, and is the agent's to judge.
 */
WEFT_HTTP_ALONE __u32 weft_shortcut_chunk(struct weft_shortcut_head *head, const struct weft_http_scan *scan, __u32 end,
                                          int is_first)
{
	__u32 place = is_first ? 0 : 2, size = 0, i;

	if (!head || !scan || (!is_first && (*weft_http_at(scan, 0) != '\r' || *weft_http_at(scan, 1) != '\n')))
		return 0;
	for (i = 0; i < WEFT_SHORTCUT_CHUNK_DIGITS; i++) {
		__u8 byte = *weft_http_at(scan, place), letter = byte | 0x20;

		if (weft_http_is_digit(byte))
			size = size << 4 | (byte - '0');
		else if (letter >= 'a' && letter <= 'f')
			size = size << 4 | (letter - 'a' + 10);
		else
			break;
		place++;
	}
	if (!i || *weft_http_at(scan, place) != '\r' || *weft_http_at(scan, place + 1) != '\n')
		return 0;
	place += 2;
	if (!size) {
		if (*weft_http_at(scan, place) != '\r' || *weft_http_at(scan, place + 1) != '\n')
			return 0;
		place += 2;
	}
	head->chunk = size;
	return place <= end ? place : 0;
}

/* ---------------------------------------------------------------------------------------------------------- decision
 */

/* Whether a rule's path and methods are the request's. */
WEFT_HTTP_ALONE int weft_shortcut_meets(const struct weft_shortcut_rule *rule, const struct weft_shortcut_head *head)
{
	__u32 length, from;

	if (!rule || !head || !(rule->methods & head->method))
		return 0;
	length = rule->length;
	if (rule->test == WEFT_SHORTCUT_ANY_PATH)
		return 1;
	if (head->path_length < length || (rule->test == WEFT_SHORTCUT_EXACT && head->path_length != length))
		return 0;
	for (__u32 i = 0; i < WEFT_SHORTCUT_WORDS; i++) {
		from = 8 * i;
		if (from >= length)
			break;
		if (weft_shortcut_cut(head->path[i] ^ rule->path[i], length - from))
			return 0;
	}
	if (rule->test == WEFT_SHORTCUT_ELEMENTS && head->path_length > length) {
		__u8 next;

		/* What is longer than what is compared may go on with anything. */
		if (length >= WEFT_SHORTCUT_TEXT)
			return 0;
		next = head->path[length / 8 & (WEFT_SHORTCUT_WORDS - 1)] >> (8 * (length & 7)) & 0xff;
		return next == '/';
	}
	return 1;
}

/*
 * The place of the first rule from `from` on whose methods, and the first bytes of whose path, are the request's: most
 * are told apart by them. What is behind the table's rules is none.
 */
WEFT_HTTP_ALONE __u32 weft_shortcut_next(const struct weft_shortcut_table *table, const struct weft_shortcut_head *head,
                                         __u32 from)
{
	__u64 first;
	__u32 method, i;

	if (!table || !head)
		return WEFT_SHORTCUT_RULES;
	first = head->path[0];
	method = head->method;
	for (i = 0; i < WEFT_SHORTCUT_RULES; i++) {
		const struct weft_shortcut_rule *rule = &table->rules[i];

		if (i >= from && rule->methods & method && !weft_shortcut_cut(rule->path[0] ^ first, rule->length))
			break;
	}
	return i;
}

/* What has been decided about a request. */
struct weft_shortcut_choice {
	__u8 cluster;
	__u8 allow; /* the rule that allows it, from 1; 0: none had to */
	__u8 route; /* the rule that routes it */
};

/* Decides about a request whose head is complete: enum weft_shortcut_reason. `random` is of 32 bits. */
WEFT_HTTP_ALONE int weft_shortcut_decide(const struct weft_shortcut_table *table, const struct weft_shortcut_head *head,
                                         struct weft_shortcut_choice *choice, __u32 random)
{
	__u32 count, from = 0, route = WEFT_SHORTCUT_AGENT;

	if (!table || !head || !choice)
		return WEFT_SHORTCUT_RULE;
	choice->allow = 0;
	count = table->rule_count;
	for (__u32 steps = 0; steps < WEFT_SHORTCUT_RULES; steps++) {
		__u32 i = weft_shortcut_next(table, head, from);
		const struct weft_shortcut_rule *rule;

		if (i >= count || i >= WEFT_SHORTCUT_RULES)
			break;
		from = i + 1;
		rule = &table->rules[i];
		if (!weft_shortcut_meets(rule, head))
			continue;
		if (rule->kind == WEFT_SHORTCUT_DENY)
			return WEFT_SHORTCUT_DENIED;
		if (rule->kind == WEFT_SHORTCUT_ROUTE) {
			choice->route = i;
			route = rule->route;
			break;
		}
		if (!choice->allow)
			choice->allow = i + 1;
	}
	if (table->needs_allow && !choice->allow)
		return WEFT_SHORTCUT_DENIED;
#ifdef __bpf__
	/* What is compared is what is used: kernels before 6.7 see it only then. */
	asm volatile("" : "+r"(route));
#endif
	if (route >= WEFT_SHORTCUT_ROUTES)
		return WEFT_SHORTCUT_RULE;
	for (__u32 i = 0; i < WEFT_SHORTCUT_TARGETS; i++) {
		const struct weft_shortcut_target *target = &table->routes[route][i];

		if (random >= target->threshold)
			continue;
		choice->cluster = target->cluster;
		return target->cluster < WEFT_SHORTCUT_CLUSTERS ? WEFT_SHORTCUT_TAKEN : WEFT_SHORTCUT_RULE;
	}
	return WEFT_SHORTCUT_RULE;
}

/* ------------------------------------------------------------------------------------------------------ in one piece
 */

/* Reads a request's head that is in the window, `end` bytes of it and what is behind it; 0: it is the agent's. */
static inline int weft_shortcut_read_request(struct weft_shortcut_head *head, struct weft_http_scan *scan, __u32 end)
{
	if (!weft_shortcut_request_line(head, scan, end))
		return 0;
	for (__u32 i = 0; i < WEFT_SHORTCUT_LINES; i++) {
		if (!weft_shortcut_line(head, scan, 0))
			return 0;
		if (head->seen & WEFT_SHORTCUT_COMPLETE)
			return 1;
	}
	return 0;
}

#endif
