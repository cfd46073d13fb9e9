#include "sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void to_endpoint(const struct sockaddr_storage *from, struct weft_endpoint *to)
{
    uint8_t bytes[16] = {0};

    memset(to, 0, sizeof *to);
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;

        memcpy(bytes, mapped_prefix, sizeof mapped_prefix);
        memcpy(bytes + 12, &in->sin_addr, 4);
        to->port = ntohs(in->sin_port);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

        memcpy(bytes, &in6->sin6_addr, 16);
        to->port = ntohs(in6->sin6_port);
    }
    memcpy(&to->high, bytes, 8);
    memcpy(&to->low, bytes + 8, 8);
}

static socklen_t from_endpoint(const struct weft_endpoint *from, struct sockaddr_storage *to)
{
    uint8_t bytes[16];

    memcpy(bytes, &from->high, 8);
    memcpy(bytes + 8, &from->low, 8);
    memset(to, 0, sizeof *to);
    if (memcmp(bytes, mapped_prefix, sizeof mapped_prefix) == 0) {
        struct sockaddr_in *in = (struct sockaddr_in *)to;

        in->sin_family = AF_INET;
        memcpy(&in->sin_addr, bytes + 12, 4);
        in->sin_port = htons(from->port);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;

    in6->sin6_family = AF_INET6;
    memcpy(&in6->sin6_addr, bytes, 16);
    in6->sin6_port = htons(from->port);
    return sizeof *in6;
}

int weft_accept_stream(int listener, struct weft_endpoint *peer)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int one = 1;
    int fd = accept4(listener, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return -errno;
    to_endpoint(&address, peer);
    // Not a failure: a socket that is gone already reports itself at the first read.
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

void weft_expect_path(int fd, enum weft_path path)
{
    // Where the system lets it choose one, as it does root. Otherwise its default is as good.
    switch (path) {
    case WEFT_PATH_ANY:
        break;
    case WEFT_PATH_NEAR:
        if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) == 0)
            break;
        // It is a module that is not there.
        // fallthrough
    case WEFT_PATH_LOCAL:
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    }
}

int weft_settle_path(int fd)
{
    char system[16] = {0};
    socklen_t length = sizeof system;
    uint32_t round_trip = weft_least_round_trip(fd);
    int fresh;

    if (round_trip < WEFT_NEAR_ROUND_TRIP)
        return 0;
    fresh = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fresh < 0)
        return 0;
    if (getsockopt(fresh, IPPROTO_TCP, TCP_CONGESTION, system, &length) != 0)
        length = 0;
    close(fresh);
    return length > 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, system, (socklen_t)strnlen(system, sizeof system)) == 0;
}

int weft_connect_stream(const struct weft_endpoint *to, enum weft_path path, int *in_progress)
{
    struct sockaddr_storage address;
    socklen_t length = from_endpoint(to, &address);
    int one = 1;
    int error;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    weft_expect_path(fd, path);
    *in_progress = 0;
    if (connect(fd, (struct sockaddr *)&address, length) == 0)
        return fd;
    if (errno == EINPROGRESS) {
        *in_progress = 1;
        return fd;
    }
    error = errno;
    close(fd);
    return -error;
}

int weft_listen_stream(const struct weft_endpoint *at, int backlog)
{
    struct sockaddr_storage address;
    socklen_t length = from_endpoint(at, &address);
    int one = 1;
    int error;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0 &&
        bind(fd, (struct sockaddr *)&address, length) == 0 && listen(fd, backlog) == 0)
        return fd;
    error = errno;
    close(fd);
    return -error;
}

int weft_local_endpoint(int fd, struct weft_endpoint *local)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return -errno;
    to_endpoint(&address, local);
    return 0;
}

int weft_peer_endpoint(int fd, struct weft_endpoint *peer)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;

    if (getpeername(fd, (struct sockaddr *)&address, &length) != 0)
        return -errno;
    to_endpoint(&address, peer);
    return 0;
}

ssize_t weft_send(int fd, const void *bytes, size_t count, int flags)
{
    return syscall(SYS_sendto, fd, bytes, count, flags, NULL, 0);
}

ssize_t weft_receive(int fd, void *bytes, size_t count, int flags)
{
    return syscall(SYS_recvfrom, fd, bytes, count, flags, NULL, NULL);
}

long weft_send_pair(int fd, const void *first, size_t first_count, const void *second, size_t second_count)
{
    struct iovec parts[2] = {{(void *)first, first_count}, {(void *)second, second_count}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t count = syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

    return count < 0 ? -errno : count;
}

int weft_socket_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof error;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}
