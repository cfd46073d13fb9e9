#include "listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

int weft_open_listener(const uint8_t *address, uint16_t port, int backlog)
{
    struct sockaddr_in6 place6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in place4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int is_ipv4 = memcmp(address, mapped_prefix, sizeof mapped_prefix) == 0;
    const struct sockaddr *place = is_ipv4 ? (struct sockaddr *)&place4 : (struct sockaddr *)&place6;
    socklen_t length = is_ipv4 ? sizeof place4 : sizeof place6;
    int one = 1;
    int fd, error;

    memcpy(&place4.sin_addr, address + 12, 4);
    memcpy(&place6.sin6_addr, address, 16);
    fd = socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0 &&
        (is_ipv4 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0) &&
        bind(fd, place, length) == 0 && listen(fd, backlog) == 0)
        return fd;
    error = errno;
    close(fd);
    return -error;
}
