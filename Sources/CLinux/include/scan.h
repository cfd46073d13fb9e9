// Scans of bytes for the HTTP/1 parser. Each reads only [bytes + from, bytes + end) and returns the index of the first
// byte that it stops at, or `end`. SSE2 is part of every x86-64; elsewhere the plain loops do.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/// Bits of weft_byte_class: what a byte may be part of.
#define WEFT_BYTE_TOKEN 1 /* tchar (RFC 9110 section 5.6.2) */
#define WEFT_BYTE_METHOD 2 /* tchar, lower-case letters excepted */
#define WEFT_BYTE_TARGET 4 /* visible ASCII, '#' excepted */
#define WEFT_BYTE_HOST 8 /* letters, digits and "-._~": unreserved (RFC 3986 section 2.3) */
#define WEFT_BYTE_ESCAPE 16 /* what a path's normal form has escaped or nowhere; '%' too (RFC 3986 section 3.3) */

extern const uint8_t weft_byte_class[256];

/// The first byte that has none of the bits of `mask`.
static inline size_t weft_scan_class(const uint8_t *bytes, size_t from, size_t end, uint8_t mask)
{
    while (from < end && (weft_byte_class[bytes[from]] & mask))
        from++;
    return from;
}

/// The first byte that may not stand in a field's value (RFC 9110 section 5.5): a control other than HTAB, or DEL.
static inline size_t weft_scan_value(const uint8_t *bytes, size_t from, size_t end)
{
#ifdef __SSE2__
    const __m128i controls = _mm_set1_epi8(0x1f);
    const __m128i tab = _mm_set1_epi8('\t');
    const __m128i del = _mm_set1_epi8(0x7f);

    while (end - from >= 16) {
        const __m128i chunk = _mm_loadu_si128((const __m128i *)(bytes + from));
        const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(chunk, controls), chunk);
        const __m128i bad = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(chunk, tab), control), _mm_cmpeq_epi8(chunk, del));
        const int mask = _mm_movemask_epi8(bad);

        if (mask)
            return from + (size_t)__builtin_ctz((unsigned)mask);
        from += 16;
    }
#endif
    while (from < end && ((bytes[from] >= 0x20 && bytes[from] != 0x7f) || bytes[from] == '\t'))
        from++;
    return from;
}

/// The first line feed.
static inline size_t weft_scan_line_feed(const uint8_t *bytes, size_t from, size_t end)
{
#ifdef __SSE2__
    const __m128i line_feed = _mm_set1_epi8('\n');

    while (end - from >= 16) {
        const __m128i chunk = _mm_loadu_si128((const __m128i *)(bytes + from));
        const int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(chunk, line_feed));

        if (mask)
            return from + (size_t)__builtin_ctz((unsigned)mask);
        from += 16;
    }
#endif
    while (from < end && bytes[from] != '\n')
        from++;
    return from;
}

/// Where a path ends, and whether it may not be its own normal form.
struct weft_path_scan {
    size_t end;
    int suspicious;
};

/// The end of a path: the first byte that is '?' or may not stand in a request target.
static inline struct weft_path_scan weft_scan_path(const uint8_t *bytes, size_t from, size_t end)
{
    struct weft_path_scan scan = {from, 0};
    uint8_t previous = 0;

    while (scan.end < end) {
        const uint8_t byte = bytes[scan.end];
        const uint8_t bits = weft_byte_class[byte];

        if (!(bits & WEFT_BYTE_TARGET) || byte == '?')
            break;
        scan.suspicious |= (bits & WEFT_BYTE_ESCAPE) | (previous == '/' && (byte == '/' || byte == '.'));
        previous = byte;
        scan.end++;
    }
    return scan;
}

/// Whether `count` bytes are `text`, which has lower-case letters, digits and '-' only. Letters in `bytes` may have either
/// case. Bytes outside of letters may be mistaken only for controls, which no caller passes.
static inline int weft_equals_lower(const uint8_t *bytes, const uint8_t *text, size_t count)
{
    size_t i = 0;
    uint8_t difference = 0;

    for (; i < count; i++)
        difference |= (uint8_t)((bytes[i] | 0x20) ^ text[i]);
    return !difference;
}

static inline int weft_byte_is(uint8_t byte, uint8_t mask)
{
    return weft_byte_class[byte] & mask;
}
