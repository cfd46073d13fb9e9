/* SPDX-License-Identifier: GPL-2.0 */
/* Which of a service's route templates a request meets: from step to step of `routes`, one for each part of its line.
 */
#ifndef WEFT_TEMPLATE_H
#define WEFT_TEMPLATE_H

#include "kernel.h"
#include "lib/http1_text.h"

/* The templates of a service; 0: it has none. */
static __always_inline __u64 templates_of(__u64 service)
{
	struct weft_route_key key = { .table = service, .symbol = WEFT_SYMBOL_ROOT };
	struct weft_route_step *root = service ? bpf_map_lookup_elem(&routes, &key) : NULL;

	return root ? root->table : 0;
}

/* The step for a symbol, or for whatever else there is, but for nothing at all. */
static __always_inline struct weft_route_step *template_step(struct weft_route_key *key, int is_empty)
{
	struct weft_route_step *step = bpf_map_lookup_elem(&routes, key);

	if (step || is_empty)
		return step;
	key->symbol = WEFT_SYMBOL_ANY;
	return bpf_map_lookup_elem(&routes, key);
}

/* The template that the request's line in the window meets, from 1 on; 0: none. */
VERIFIED_ALONE int template_of(struct weft_http_scan *scan, __u64 table)
{
	struct weft_route_key key = { .table = table };
	__u32 place, end;
	int rest = 0;

	if (!scan)
		return 0;
	place = scan->text;
	end = place + scan->text_length;
	for (int i = 0; i < WEFT_ROUTE_SYMBOLS; i++) {
		__u32 stop = weft_http_symbol(scan, place);
		__u8 behind = *weft_http_at(scan, stop);
		struct weft_route_step *step;

		if (stop >= end || !scan->symbol)
			return rest;
		key.symbol = scan->symbol;
		step = template_step(&key, stop == place);
		if (!step)
			return rest;
		if (i && behind != '/')
			return step->route ? step->route : rest;
		if (i == 0) {
			/* The target's form is the origin's, or it has no path to compare. */
			if (behind != ' ' || *weft_http_at(scan, stop + 1) != '/')
				return 0;
			stop++;
		}
		if (step->rest)
			rest = step->rest;
		if (!step->state)
			return rest;
		key.state = step->state;
		place = stop + 1;
	}
	return rest;
}

#endif
