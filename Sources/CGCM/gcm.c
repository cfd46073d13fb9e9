#include "gcm.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)

#include <intel-ipsec-mb.h>
#include <pthread.h>

struct functions {
	aes_gcm_pre_t expand;
	aes_gcm_init_t begin;
	aes_gcm_enc_dec_update_t encrypt;
	aes_gcm_enc_dec_finalize_t end;
	aes_gcm_enc_dec_t decrypt;
};

struct weft_gcm_key {
	_Alignas(64) struct gcm_key_data data;
	const struct functions *functions;
};

// By the size of the key; all of them or none.
static struct functions functions_128, functions_256;
static int is_available;

static void choose(void)
{
	const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
	IMB_MGR *manager = alloc_mb_mgr(0);

	if (!manager)
		return;
	// Its own emulation of these instructions is slower than OpenSSL.
	if ((manager->features & needed) == needed) {
		init_mb_mgr_auto(manager, NULL);
		is_available = imb_get_errno(manager) == 0;
		functions_128 =
		    (struct functions){ manager->gcm128_pre, manager->gcm128_init, manager->gcm128_enc_update,
			                manager->gcm128_enc_finalize, manager->gcm128_dec };
		functions_256 =
		    (struct functions){ manager->gcm256_pre, manager->gcm256_init, manager->gcm256_enc_update,
			                manager->gcm256_enc_finalize, manager->gcm256_dec };
	}
	free_mb_mgr(manager);
}

weft_gcm_key *weft_gcm_key_create(const void *bytes, size_t count)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	// aligned_alloc() wants whole multiples of the alignment, which the structure's own is.
	const size_t size = sizeof(weft_gcm_key);
	weft_gcm_key *key;

	pthread_once(&once, choose);
	if (!is_available || (count != 16 && count != 32))
		return NULL;
	key = aligned_alloc(_Alignof(weft_gcm_key), size);
	if (!key)
		return NULL;
	memset(key, 0, size);
	key->functions = count == 16 ? &functions_128 : &functions_256;
	key->functions->expand(bytes, &key->data);
	return key;
}

void weft_gcm_key_free(weft_gcm_key *key)
{
	if (!key)
		return;
	explicit_bzero(key, sizeof(*key));
	free(key);
}

void weft_gcm_seal(const weft_gcm_key *key, const void *nonce, const void *header, size_t header_count,
                   const void *plain, size_t count, uint8_t trailer, void *output)
{
	const struct functions *functions = key->functions;
	struct gcm_context_data state;
	uint8_t *out = output;

	functions->begin(&key->data, &state, nonce, header, header_count);
	functions->encrypt(&key->data, &state, out, plain, count);
	functions->encrypt(&key->data, &state, out + count, &trailer, 1);
	functions->end(&key->data, &state, out + count + 1, WEFT_GCM_TAG);
}

int weft_gcm_open(const weft_gcm_key *key, const void *nonce, const void *header, size_t header_count,
                  const void *input, size_t count, void *output)
{
	struct gcm_context_data state;
	uint64_t tag[2], expected[2];

	if (count < WEFT_GCM_TAG)
		return 0;
	count -= WEFT_GCM_TAG;
	memcpy(expected, (const uint8_t *)input + count, sizeof(expected));
	key->functions->decrypt(&key->data, &state, output, input, count, nonce, header, header_count, (uint8_t *)tag,
	                        WEFT_GCM_TAG);
	// In the same time wherever they differ.
	return ((tag[0] ^ expected[0]) | (tag[1] ^ expected[1])) == 0;
}

#else

weft_gcm_key *weft_gcm_key_create(const void *bytes, size_t count)
{
	(void)bytes, (void)count;
	return NULL;
}

// Nobody has a key.
void weft_gcm_key_free(weft_gcm_key *key)
{
	(void)key;
}

void weft_gcm_seal(const weft_gcm_key *key, const void *nonce, const void *header, size_t header_count,
                   const void *plain, size_t count, uint8_t trailer, void *output)
{
	(void)key, (void)nonce, (void)header, (void)header_count, (void)plain, (void)count, (void)trailer, (void)output;
	abort();
}

int weft_gcm_open(const weft_gcm_key *key, const void *nonce, const void *header, size_t header_count,
                  const void *input, size_t count, void *output)
{
	(void)key, (void)nonce, (void)header, (void)header_count, (void)input, (void)count, (void)output;
	return 0;
}

#endif
