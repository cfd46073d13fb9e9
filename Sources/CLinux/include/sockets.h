// Sockets of the proxy: what needs _GNU_SOURCE or sockaddr unions, as calls that return a negative errno on failure.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// An address and port of TCP. `high` and `low` hold bytes 0-7 and 8-15 of the address as they lie in memory (network
/// order), IPv4 in mapped form.
struct weft_endpoint {
    uint64_t high;
    uint64_t low;
    uint16_t port; ///< host order
};

/// accept4(2), non-blocking and closed on exec, with TCP_NODELAY. Returns the descriptor.
int weft_accept_stream(int listener, struct weft_endpoint *peer);

/// How far a connection goes, which says what congestion control is good for it.
enum weft_path {
    WEFT_PATH_ANY,   ///< the system's own
    WEFT_PATH_LOCAL, ///< never leaves this machine: the simplest there is
    /// As a rule to the next machine: one without a timer between two packets. BBR's pacing, on a path without a queue
    /// worth a timer, costs more than all the rest of a packet; `weft_settle_path` finds out whether the path is one.
    WEFT_PATH_NEAR,
};

/// A round trip, in microseconds, from which on the path of a connection is no short one.
#define WEFT_NEAR_ROUND_TRIP 1000

/// A non-blocking TCP socket that is connecting to `to`. Returns the descriptor; *in_progress says whether the
/// connection still has to be established.
int weft_connect_stream(const struct weft_endpoint *to, enum weft_path path, int *in_progress);

/// Chooses the congestion control of a socket that is not connected yet, or of those that it will accept.
void weft_expect_path(int fd, enum weft_path path);

/// Gives an established connection that was expected to be near, and whose round trip takes longer, the system's own
/// congestion control. Returns 1 if it was changed.
int weft_settle_path(int fd);

/// The shortest round trip of a connection so far, microseconds; 0: not known.
uint32_t weft_least_round_trip(int fd);

/// A listening non-blocking TCP socket with SO_REUSEPORT. Returns the descriptor.
int weft_listen_stream(const struct weft_endpoint *at, int backlog);

/// The address that a socket is bound to. Returns 0.
int weft_local_endpoint(int fd, struct weft_endpoint *local);

/// The address that a connected socket leads to. Returns 0.
int weft_peer_endpoint(int fd, struct weft_endpoint *peer);

/// send(2) and recv(2) as the kernel has them, with errno. Those of glibc are points at which a thread may be cancelled, and
/// each asks whether this one is.
ssize_t weft_send(int fd, const void *bytes, size_t count, int flags);
ssize_t weft_receive(int fd, void *bytes, size_t count, int flags);

/// Sends two ranges with one call (sendmsg, MSG_NOSIGNAL). Returns the number of bytes taken.
long weft_send_pair(int fd, const void *first, size_t first_count, const void *second, size_t second_count);

/// The pending error of a socket (SO_ERROR), 0 for none.
int weft_socket_error(int fd);
