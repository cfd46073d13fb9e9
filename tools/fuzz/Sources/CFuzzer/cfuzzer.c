#include "cfuzzer.h"

/// The runtime's own main, which is linked in but not used, calls this.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
	(void)data;
	(void)count;
	return 0;
}
