// Ending a socket from outside (sock_diag(7), SOCK_DESTROY).
#pragma once

#include <stdint.h>

/// The ends of one socket, as the socket itself sees them.
struct weft_socket_ends {
    uint8_t family;   ///< AF_INET or AF_INET6, the socket's own
    uint8_t protocol; ///< IPPROTO_TCP or IPPROTO_UDP
    uint16_t local_port; ///< network order, as are all that follow
    uint16_t peer_port;
    uint32_t local_address[4]; ///< IPv4 in the first word for AF_INET
    uint32_t peer_address[4];
    uint64_t cookie; ///< 0: whichever socket has these ends
};

/// Opens a NETLINK_SOCK_DIAG socket in the calling thread's network namespace. Returns -1 with errno.
int weft_open_sock_diag(void);

/// Ends the socket: its owner gets ECONNABORTED, a TCP peer a reset. Returns 0, or the negative errno with which the
/// kernel answered: -ENOENT if there is no such socket (any more), -EOPNOTSUPP without CONFIG_INET_DIAG_DESTROY.
int weft_destroy_socket(int sock_diag_fd, const struct weft_socket_ends *ends);
