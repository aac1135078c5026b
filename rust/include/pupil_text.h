/* Tokenizers, chat templates and Python syntax trees: the C interface of the Rust
 * crate.
 *
 * Every call returns a status; results come through out-parameters, which are written
 * only on PT_OK. Text goes in and out as UTF-8 with its length and without a
 * terminator. What a call allocates, the caller frees with the function named here. On
 * an error nothing is allocated and pt_last_error() describes it in one line, for each
 * thread on its own. Calls on a const handle may run in many threads at once. No call
 * unwinds. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  PT_OK = 0,
  PT_INVALID = 1, /* the input is at fault */
  PT_BUG = 2      /* a library gave up (a caught panic): the input may be at fault */
} pt_status;

typedef struct pt_tokenizer pt_tokenizer;
typedef struct pt_template pt_template;

/* Bytes [begin, end) of a text. */
typedef struct {
  size_t begin, end;
} pt_span;

/* Why this thread's last call failed; valid until its next call. Never null. */
const char* pt_last_error(void);

void pt_free_text(char* text, size_t len);
void pt_free_ids(uint32_t* ids, size_t count);

/* A tokenizer from the text of a tokenizer.json, with padding and truncation off. */
pt_status pt_tokenizer_new(const char* json, size_t len, pt_tokenizer** out);

/* Adds tokens, before the handle is shared: a JSON list of {"content","single_word",
 * "lstrip","rstrip","normalized","special"}. One that is there gets these flags. */
pt_status pt_tokenizer_add(pt_tokenizer* tokenizer, const char* tokens, size_t len);

void pt_tokenizer_free(pt_tokenizer* tokenizer);

/* Ids of `text`, nothing added. Special tokens are recognised, except where an
 * occurrence shares a byte with one of the `plain` spans: there it is text like any
 * other. */
pt_status pt_encode(
    const pt_tokenizer* tokenizer,
    const char* text,
    size_t len,
    const pt_span* plain,
    size_t num_plain,
    uint32_t** ids,
    size_t* count);

/* Text of `ids`. Ids without a token are left out; broken UTF-8 becomes U+FFFD. */
pt_status pt_decode(
    const pt_tokenizer* tokenizer,
    const uint32_t* ids,
    size_t count,
    bool skip_special,
    char** text,
    size_t* len);

/* The added tokens by ascending id, as a JSON list of
 * {"id","content","single_word","lstrip","rstrip","normalized","special"}. */
pt_status pt_added_tokens(const pt_tokenizer* tokenizer, char** text, size_t* len);

/* The id of a token as the vocabulary writes it, or -1; and the largest id + 1. */
pt_status pt_token_id(
    const pt_tokenizer* tokenizer, const char* token, size_t len, int64_t* id);
pt_status pt_vocab_size(const pt_tokenizer* tokenizer, int64_t* size);

/* A chat template in Jinja, as Hugging Face compiles it. */
pt_status pt_template_new(const char* source, size_t len, pt_template** out);
void pt_template_free(pt_template* chat_template);

/* Renders over `context`, a JSON object of variables. `now_s` (seconds since 1970) is
 * what strftime_now() shows, in local time. Work, depth and output are bounded: a
 * template that does not end is PT_INVALID within a second. */
pt_status pt_template_render(
    const pt_template* chat_template,
    const char* context,
    size_t len,
    int64_t now_s,
    char** text,
    size_t* text_len);

/* Counts from the syntax tree of a Python program; all 0 if it does not parse. */
typedef struct {
  bool parses;
  uint32_t functions, documented; /* defs, and those with a docstring */
  uint32_t comments;
  uint32_t statements; /* that do something: no pass, docstring or "..." */
  uint32_t code_lines;
  uint32_t nesting, loop_nesting; /* deepest, of blocks and of loops */
  uint32_t complexity;            /* McCabe's, of the most complex function */
  uint32_t names, short_names;    /* chosen names, and those of one letter */
  uint32_t odd_names;             /* in mixed case */
  uint32_t bare_excepts;
} pt_python_facts_out;

pt_status pt_python_facts(const char* source, size_t len, pt_python_facts_out* facts);

#ifdef __cplusplus
}
#endif
