// RE2, the regular expressions that match in linear time whatever the input, behind plain C functions.
// Every function may be called from any thread, also for the same expression.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weft_regex weft_regex;

/// Compiles an expression (RE2 syntax, UTF-8) with bounded memory. NULL if it is not one; why is then written to
/// `problem`, cut at `problem_size` and ended by a zero byte. To be freed by weft_regex_free().
weft_regex *weft_regex_create(const void *expression, size_t count, char *problem, size_t problem_size);

void weft_regex_free(weft_regex *regex);

/// Whether the expression matches the whole text.
int weft_regex_matches(const weft_regex *regex, const void *text, size_t count);

/// Replaces every match in the text by `substitution`, in which \1 to \9 stand for what the groups matched and \0 for
/// the match. Returns the number of bytes of the result, which is in `output` if it is not greater than `output_size`,
/// or -1 if the substitution names a group that the expression does not have. Allocates.
ptrdiff_t weft_regex_replace(const weft_regex *regex, const void *text, size_t count, const void *substitution,
                             size_t substitution_count, void *output, size_t output_size);

/// Whether the substitution can be used with the expression: 1, or 0 with the reason in `problem`.
int weft_regex_check_substitution(const weft_regex *regex, const void *substitution, size_t count, char *problem,
                                  size_t problem_size);

#ifdef __cplusplus
}
#endif
