// Sockets of the behaviour probes: what they ask the kernel beside sending and receiving. Negative results are errnos.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// A TCP connection over 127.0.0.1: ends[0] has connected to ends[1]. Both are non-blocking, closed on exec and without
/// Nagle's delay. Waits for at most `milliseconds`. Returns 0.
int weft_loopback_pair(int ends[2], int milliseconds);

/// Makes sending and receiving block for at most `milliseconds`; 0: not at all. Returns 0.
int weft_set_patience(int fd, int milliseconds);

/// Bytes that can be read, as FIONREAD says.
int weft_unread_bytes(int fd);

/// Bytes that TCP itself has been given to carry on this socket, sent or not: what was redirected is not among them.
int64_t weft_tcp_taken_bytes(int fd);

/// splice(2) from a socket into a pipe, without waiting. Returns the number of bytes.
long weft_splice(int from, int to, size_t count);

/// Closes the socket so that its peer gets a reset.
void weft_abort(int fd);

/// SO_RCVLOWAT. Returns 0.
int weft_set_low_water(int fd, int bytes);

/// TCP_INQ, which tells with each recvmsg() how much is left. Returns 0.
int weft_set_inq(int fd);

/// SO_COOKIE; 0 if the kernel has none.
uint64_t weft_socket_cookie(int fd);
