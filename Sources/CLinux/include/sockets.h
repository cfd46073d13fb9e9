// Sockets of the proxy: what needs _GNU_SOURCE or sockaddr unions, as calls that return a negative errno on failure.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// An address and port of TCP. `high` and `low` hold bytes 0-7 and 8-15 of the address as they lie in memory (network
/// order), IPv4 in mapped form.
struct weft_endpoint {
    uint64_t high;
    uint64_t low;
    uint16_t port; ///< host order
};

/// accept4(2), non-blocking and closed on exec, with TCP_NODELAY. Returns the descriptor.
int weft_accept_stream(int listener, struct weft_endpoint *peer);

/// A non-blocking TCP socket that is connecting to `to`. Returns the descriptor; *in_progress says whether the
/// connection still has to be established.
int weft_connect_stream(const struct weft_endpoint *to, int is_local, int *in_progress);

/// Takes the simplest congestion control for a socket whose connections, or that of those which it will accept, never
/// leave this machine: a bandwidth estimate or a timer between two packets (BBR) is of no use to them.
void weft_stay_local(int fd);

/// A listening non-blocking TCP socket with SO_REUSEPORT. Returns the descriptor.
int weft_listen_stream(const struct weft_endpoint *at, int backlog);

/// The address that a socket is bound to. Returns 0.
int weft_local_endpoint(int fd, struct weft_endpoint *local);

/// Sends two ranges with one call (sendmsg, MSG_NOSIGNAL). Returns the number of bytes taken.
long weft_send_pair(int fd, const void *first, size_t first_count, const void *second, size_t second_count);

/// The pending error of a socket (SO_ERROR), 0 for none.
int weft_socket_error(int fd);
