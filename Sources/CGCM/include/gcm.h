// AES-GCM (NIST SP 800-38D) with nonces of 12 and tags of 16 bytes by Intel's Multi-Buffer Crypto library, behind plain
// functions: on processors with wide vectors it takes a quarter of what OpenSSL 3.0 does.
// Every function may be called from any thread, also for the same key.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { WEFT_GCM_NONCE = 12, WEFT_GCM_TAG = 16 };

typedef struct weft_gcm_key weft_gcm_key;

/// An expanded key of 16 or 32 bytes; NULL where the processor or the machine's architecture has no instructions for it,
/// and without memory. To be freed by weft_gcm_key_free().
weft_gcm_key *weft_gcm_key_create(const void *bytes, size_t count);

/// Wipes it, too.
void weft_gcm_key_free(weft_gcm_key *key);

/// Encrypts `count` bytes and the byte `trailer` behind them. `output` gets as many, and the tag. The nonce must never be
/// used again with this key.
void weft_gcm_seal(const weft_gcm_key *key, const void *nonce, const void *header, size_t header_count,
                   const void *plain, size_t count, uint8_t trailer, void *output);

/// Decrypts `count` bytes of which the last are the tag; `output`, which may be `input`, gets the others. Whether they
/// and the header are what was sealed: 1, or 0, and what `output` has is nothing to look at.
int weft_gcm_open(const weft_gcm_key *key, const void *nonce, const void *header, size_t header_count,
                  const void *input, size_t count, void *output);
