// Counts the allocations of each thread of a test process. Linking it replaces malloc(3) and its kin by functions that
// count and then do what glibc does.
#pragma once

/// Allocations so far of the threads with this name (as in /proc/self/task/TID/comm); -1 if there is none.
long weft_allocations_of_thread(const char *name);
