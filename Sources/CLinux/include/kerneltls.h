// TLS 1.3 records that the kernel makes (Documentation/networking/tls.rst): AES-GCM, of the sending direction alone.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// What the kernel can do about TLS 1.3.
enum weft_kernel_tls {
    WEFT_KERNEL_TLS_NONE,
    /// It makes records, with one key for as long as the connection lasts.
    WEFT_KERNEL_TLS_RECORDS,
    /// And takes another key (Linux 6.14).
    WEFT_KERNEL_TLS_UPDATES,
};

/// Tried on a connection of this process to itself, over the loopback device of the thread's network namespace: the kernel
/// loads its module for it.
enum weft_kernel_tls weft_probe_kernel_tls(void);

/// Makes what is sent on a connected TCP socket from now on records with a key of 16 or 32 bytes and a nonce of 12
/// (RFC 8446 section 5.3), the first with the sequence number 0. Returns 0 or a negative errno; after one the socket
/// sends as before.
int weft_kernel_tls_send(int fd, const void *key, size_t key_size, const void *nonce);

/// The same with other keys, where the kernel takes them. Returns 0 or a negative errno.
int weft_kernel_tls_change_key(int fd, const void *key, size_t key_size, const void *nonce);

/// Sends a record of another kind than data, if the socket has room. Returns what sendmsg(2) does.
ssize_t weft_kernel_tls_record(int fd, uint8_t kind, const void *bytes, size_t count);
