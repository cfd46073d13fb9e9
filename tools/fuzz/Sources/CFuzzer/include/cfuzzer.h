// The entry to libFuzzer for programs with a main of their own.
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*test)(const uint8_t *data, size_t count));

/// Fuzzes `test` as the arguments say. Returns the exit code, unless libFuzzer ends the process itself.
static inline int weft_fuzz(int argc, char **argv, int (*test)(const uint8_t *data, size_t count))
{
	return LLVMFuzzerRunDriver(&argc, &argv, test);
}
