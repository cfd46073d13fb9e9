// Listening sockets of TCP that share their place (SO_REUSEPORT).
#pragma once

#include <stdint.h>

/// Opens a non-blocking listening socket in the calling thread's network namespace: of IPv4 for an IPv4-mapped
/// `address` (16 bytes), otherwise of IPv6 alone. `port` is in host order. Returns the descriptor, or a negative errno.
int weft_open_listener(const uint8_t *address, uint16_t port, int backlog);
