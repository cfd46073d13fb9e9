#include "kerneltls.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

static int set_key(int fd, const void *key, size_t key_size, const void *nonce)
{
    const struct tls_crypto_info kind = {
        .version = TLS_1_3_VERSION,
        .cipher_type = key_size == TLS_CIPHER_AES_GCM_128_KEY_SIZE ? TLS_CIPHER_AES_GCM_128 : TLS_CIPHER_AES_GCM_256,
    };
    union {
        struct tls12_crypto_info_aes_gcm_128 small;
        struct tls12_crypto_info_aes_gcm_256 large;
    } info;
    socklen_t size;
    int error;

    memset(&info, 0, sizeof info);
    // The kernel's names for the two parts of a nonce are those of TLS 1.2.
    if (key_size == sizeof info.small.key) {
        info.small.info = kind;
        memcpy(info.small.key, key, sizeof info.small.key);
        memcpy(info.small.salt, nonce, sizeof info.small.salt);
        memcpy(info.small.iv, (const uint8_t *)nonce + sizeof info.small.salt, sizeof info.small.iv);
        size = sizeof info.small;
    } else if (key_size == sizeof info.large.key) {
        info.large.info = kind;
        memcpy(info.large.key, key, sizeof info.large.key);
        memcpy(info.large.salt, nonce, sizeof info.large.salt);
        memcpy(info.large.iv, (const uint8_t *)nonce + sizeof info.large.salt, sizeof info.large.iv);
        size = sizeof info.large;
    } else {
        return -EINVAL;
    }
    error = setsockopt(fd, SOL_TLS, TLS_TX, &info, size) == 0 ? 0 : -errno;
    explicit_bzero(&info, sizeof info);
    return error;
}

int weft_kernel_tls_send(int fd, const void *key, size_t key_size, const void *nonce)
{
    if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") != 0)
        return -errno;
    return set_key(fd, key, key_size, nonce);
}

int weft_kernel_tls_change_key(int fd, const void *key, size_t key_size, const void *nonce)
{
    return set_key(fd, key, key_size, nonce);
}

ssize_t weft_kernel_tls_record(int fd, uint8_t kind, const void *bytes, size_t count)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof kind)];
    } control;
    struct iovec part = {(void *)bytes, count};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control.space,
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    memset(&control, 0, sizeof control);
    header->cmsg_level = SOL_TLS;
    header->cmsg_type = TLS_SET_RECORD_TYPE;
    header->cmsg_len = CMSG_LEN(sizeof kind);
    memcpy(CMSG_DATA(header), &kind, sizeof kind);
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// Two ends of a connection; 0 or -1.
static int connect_to_self(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ends[1] = -1;
    if (listener >= 0 && ends[0] >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 &&
        listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
        connect(ends[0], (struct sockaddr *)&address, size) == 0)
        ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (listener >= 0)
        close(listener);
    return ends[1] >= 0 ? 0 : -1;
}

enum weft_kernel_tls weft_probe_kernel_tls(void)
{
    // Of a handshake there is none: any key shows whether there is a record.
    static const uint8_t key[32], nonce[12];
    static const uint8_t data = 23; // application_data (RFC 8446 section 5.1)
    // A header, a byte, its kind and a tag.
    uint8_t record[5 + 1 + 1 + 16 + 1];
    enum weft_kernel_tls found = WEFT_KERNEL_TLS_NONE;
    int ends[2];

    if (connect_to_self(ends) == 0 && weft_kernel_tls_send(ends[0], key, 32, nonce) == 0 &&
        send(ends[0], "x", 1, MSG_NOSIGNAL) == 1 && recv(ends[1], record, sizeof record, 0) == sizeof record - 1 &&
        record[0] == data)
        found = weft_kernel_tls_change_key(ends[0], key, 32, nonce) == 0 ? WEFT_KERNEL_TLS_UPDATES
                                                                        : WEFT_KERNEL_TLS_RECORDS;
    for (int index = 0; index < 2; index++)
        if (ends[index] >= 0)
            close(ends[index]);
    return found;
}
