#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

// What OpenSSL has as macros, which Swift does not see.

// ssl.h
static inline void weft_ssl_ctx_set_mode(SSL_CTX *context, long mode) { SSL_CTX_set_mode(context, mode); }

static inline void weft_ssl_ctx_disable_session_cache(SSL_CTX *context)
{
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

static inline int weft_ssl_ctx_set_protocol_versions(SSL_CTX *context, int lowest, int highest)
{
    return SSL_CTX_set_min_proto_version(context, lowest) && SSL_CTX_set_max_proto_version(context, highest);
}

static inline int weft_ssl_ctx_set_groups(SSL_CTX *context, const char *list)
{
    return (int)SSL_CTX_set1_groups_list(context, list);
}

static inline int weft_ssl_set_server_name(SSL *connection, const char *name)
{
    return (int)SSL_set_tlsext_host_name(connection, name);
}

// Options have 64 bits, which the macros make by casts.
static inline void weft_ssl_ctx_set_options(SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION
                                     | SSL_OP_CIPHER_SERVER_PREFERENCE);
}

// ec.h

/// A new key on the curve P-256 (FIPS 186-5), or NULL.
static inline EVP_PKEY *weft_new_p256_key(void)
{
    return EVP_EC_gen("P-256");
}

// x509.h

/// How names are printed: RFC 2253, with letters beyond ASCII as they are.
static inline unsigned long weft_rfc2253_utf8(void)
{
    return XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
}

// evp.h
static inline int weft_evp_pkey_public_key(void) { return EVP_PKEY_PUBLIC_KEY; }

// ssl.h, of single connections

static inline int weft_ssl_set_tls13(SSL *connection)
{
    SSL_set_options(connection, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    return SSL_set_min_proto_version(connection, TLS1_3_VERSION) && SSL_set_max_proto_version(connection, TLS1_3_VERSION);
}

/// Bytes of the certificates that a peer may send.
static inline void weft_ssl_limit_peer_chain(SSL *connection, long bytes)
{
    SSL_set_max_cert_list(connection, bytes);
}

/// Sends `certificate` after the leaf.
static inline int weft_ssl_add_chain(SSL *connection, X509 *certificate)
{
    return (int)SSL_add1_chain_cert(connection, certificate);
}
