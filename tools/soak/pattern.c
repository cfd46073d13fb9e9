/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The bytes of all streams: a table of random bytes whose length is a prime above the largest message, read from
 * another place for each stream. A byte is a function of seed, connection, direction and offset, and no two streams are
 * compared byte by byte to be made: what is sent is in the table already, and in a file for sendfile().
 */
#define _GNU_SOURCE
#include "soak.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PERIOD = 1048583, TABLE = PERIOD + LARGEST_MESSAGE + 64 };

static uint8_t *table;
static int file = -1;

void pattern_make(void)
{
	uint64_t random = 1;

	file = memfd_create("soak", MFD_CLOEXEC);
	if (file < 0 || ftruncate(file, TABLE))
		fail("no memory for the bytes: %m");
	table = mmap(NULL, TABLE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (table == MAP_FAILED)
		fail("no memory for the bytes: %m");
	for (size_t i = 0; i < TABLE; i++)
		table[i] = i < PERIOD ? (uint8_t)next(&random) : table[i - PERIOD];
	mprotect(table, TABLE, PROT_READ);
}

int pattern_file(void)
{
	return file;
}

uint64_t pattern_stream(uint64_t seed, uint64_t number, int direction)
{
	return mix(mix(seed + 1) + mix(number * 2 + (uint64_t)direction)) % PERIOD;
}

off_t pattern_position(uint64_t stream, uint64_t offset)
{
	return (off_t)((stream + offset) % PERIOD);
}

/* As many bytes as the largest message has follow. */
uint8_t *pattern_at(uint64_t stream, uint64_t offset)
{
	return table + pattern_position(stream, offset);
}

/* Says what bytes these are that are not the ones at `offset`. */
void pattern_explain(uint64_t stream, uint64_t offset, const uint8_t *bytes, size_t size, char *text, size_t room)
{
	size_t wrong = 0, known = size < 24 ? size : 24;
	const uint8_t *found;

	while (wrong < size && bytes[wrong] == pattern_at(stream, offset)[wrong])
		wrong++;
	known = size - wrong < 24 ? size - wrong : 24;
	found = memmem(table, PERIOD + known, bytes + wrong, known);
	if (known < 6) {
		snprintf(text, room, "wrong from byte %llu on, too few to say what they are",
		         (unsigned long long)(offset + wrong));
	} else if (!found) {
		snprintf(text, room, "wrong from byte %llu on: bytes of no stream",
		         (unsigned long long)(offset + wrong));
	} else {
		int64_t ahead = (found - table) - (int64_t)pattern_position(stream, offset + wrong);

		if (ahead > PERIOD / 2)
			ahead -= PERIOD;
		if (ahead < -PERIOD / 2)
			ahead += PERIOD;
		snprintf(text, room, "wrong from byte %llu on: %lld bytes %s, or of another stream",
		         (unsigned long long)(offset + wrong), (long long)(ahead < 0 ? -ahead : ahead),
		         ahead < 0 ? "too early, sent twice or out of order" : "too far, lost or out of order");
	}
}
