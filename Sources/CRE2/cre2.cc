#include "cre2.h"

#include <cstring>
#include <new>
#include <string>

#include <re2/re2.h>

struct weft_regex {
	RE2 expression;
};

// What a program and its cache of states may take. RE2 goes on with its slower, equally linear engine when the cache is
// full, and refuses expressions whose program does not fit.
static constexpr int64_t memory_limit = 1 << 20;

static void explain(const std::string &text, char *problem, size_t size)
{
	if (size == 0)
		return;
	size_t count = text.size() < size - 1 ? text.size() : size - 1;
	memcpy(problem, text.data(), count);
	problem[count] = 0;
}

static re2::StringPiece piece(const void *text, size_t count)
{
	return re2::StringPiece(static_cast<const char *>(text), count);
}

weft_regex *weft_regex_create(const void *expression, size_t count, char *problem, size_t problem_size)
{
	RE2::Options options;
	options.set_log_errors(false);
	options.set_max_mem(memory_limit);
	weft_regex *regex = new (std::nothrow) weft_regex{ RE2(piece(expression, count), options) };
	if (!regex) {
		explain("out of memory", problem, problem_size);
		return nullptr;
	}
	if (!regex->expression.ok()) {
		explain(regex->expression.error(), problem, problem_size);
		delete regex;
		return nullptr;
	}
	return regex;
}

void weft_regex_free(weft_regex *regex)
{
	delete regex;
}

int weft_regex_matches(const weft_regex *regex, const void *text, size_t count)
{
	return regex->expression.Match(piece(text, count), 0, count, RE2::ANCHOR_BOTH, nullptr, 0);
}

ptrdiff_t weft_regex_replace(const weft_regex *regex, const void *text, size_t count, const void *substitution,
                             size_t substitution_count, void *output, size_t output_size)
{
	std::string error;
	if (!regex->expression.CheckRewriteString(piece(substitution, substitution_count), &error))
		return -1;
	std::string result(static_cast<const char *>(text), count);
	RE2::GlobalReplace(&result, regex->expression, piece(substitution, substitution_count));
	if (result.size() <= output_size)
		memcpy(output, result.data(), result.size());
	return static_cast<ptrdiff_t>(result.size());
}

int weft_regex_check_substitution(const weft_regex *regex, const void *substitution, size_t count, char *problem,
                                  size_t problem_size)
{
	std::string error;
	if (regex->expression.CheckRewriteString(piece(substitution, count), &error))
		return 1;
	explain(error, problem, problem_size);
	return 0;
}
