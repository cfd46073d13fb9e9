#include "sockdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int weft_open_sock_diag(void) { return socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG); }

int weft_destroy_socket(int sock_diag_fd, const struct weft_socket_ends *ends)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } message;
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[256];
    } answer;
    ssize_t length;

    memset(&message, 0, sizeof message);
    message.header.nlmsg_len = sizeof message;
    message.header.nlmsg_type = SOCK_DESTROY;
    message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    message.request.sdiag_family = ends->family;
    message.request.sdiag_protocol = ends->protocol;
    message.request.idiag_states = -1;
    message.request.id.idiag_sport = ends->local_port;
    message.request.id.idiag_dport = ends->peer_port;
    memcpy(message.request.id.idiag_src, ends->local_address, sizeof ends->local_address);
    memcpy(message.request.id.idiag_dst, ends->peer_address, sizeof ends->peer_address);
    message.request.id.idiag_cookie[0] = ends->cookie ? (uint32_t)ends->cookie : INET_DIAG_NOCOOKIE;
    message.request.id.idiag_cookie[1] = ends->cookie ? (uint32_t)(ends->cookie >> 32) : INET_DIAG_NOCOOKIE;

    if (send(sock_diag_fd, &message, sizeof message, 0) < 0)
        return -errno;
    do {
        length = recv(sock_diag_fd, &answer, sizeof answer, 0);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return -errno;
    if ((size_t)length < sizeof answer.header + sizeof(int) || answer.header.nlmsg_type != NLMSG_ERROR)
        return -EPROTO;
    return answer.error.error;
}
