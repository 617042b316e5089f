/* verbs.h - ESMTP verbs (EHLO keywords) as sets with names, and IIS masks
 *
 * Pure. Values of table `verbs` (what is not offered to a client) and the verb words of
 * table `peers` (what is not used towards a peer). LADDER.md 5; KB 257569, KB 286673. */
#ifndef COMMON_VERBS_H
#define COMMON_VERBS_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

/* VERBS(bit name, word, keyword in EHLO answers, IIS mask or 0) */
#define VERBS(X) \
  X(SIZE, "size", "SIZE", 0) \
  X(PIPELINING, "pipelining", "PIPELINING", 0) \
  X(8BITMIME, "8bitmime", "8BITMIME", 0x400000) \
  X(DSN, "dsn", "DSN", 0x40) \
  X(ETRN, "etrn", "ETRN", 0x80) \
  X(ENHANCEDSTATUSCODES, "enhancedstatuscodes", "ENHANCEDSTATUSCODES", 0x1000) \
  X(STARTTLS, "starttls", "STARTTLS", 0) \
  X(AUTH, "auth", "AUTH", 0) \
  X(SMTPUTF8, "smtputf8", "SMTPUTF8", 0) \
  X(CHUNKING, "chunking", "CHUNKING", 0x100000) \
  X(BINARYMIME, "binarymime", "BINARYMIME", 0x200000) \
  X(LIMITS, "limits", "LIMITS", 0) \
  X(VRFY, "vrfy", "VRFY", 0) \
  X(HELP, "help", "HELP", 0) \
  X(XCLIENT, "xclient", "XCLIENT", 0)

enum verb_number {
#define X(name, word, keyword, iis) VERBN_##name,
  VERBS(X)
#undef X
  VERB_COUNT
};

enum verb_bit {
#define X(name, word, keyword, iis) VERB_##name = 1 << VERBN_##name,
  VERBS(X)
#undef X
  VERB_NONE = 0
};

const char *verb_word(enum verb_number n);
const char *verb_keyword(enum verb_number n);
/* the verb with this word, any case: 0, or -1 */
int verb_find_word(const char *s, size_t len, enum verb_number *n);
/* the verb with this EHLO keyword, any case: 0, or -1 */
int verb_find_keyword(const char *s, size_t len, enum verb_number *n);

/* a value of table `verbs`: "-8bitmime -chunking", or a decimal IIS mask of the verbs to
 * use. *off gets the verbs that are switched off; *unknown (may be NULL) the bits of a mask that name no
 * verb. A mask governs only the verbs it knows. 0, or -1 with *why: what was expected. */
int verbs_parse(const char *value, size_t len, uint32_t *off, uint32_t *unknown, const char **why);
/* the IIS mask that switches exactly these off (IIS's default otherwise) */
uint32_t verbs_to_mask(uint32_t off);
/* appends the words in the set, space separated. 0, or -1 (ENOMEM) */
int verbs_format(stralloc *out, uint32_t set);

#define VERBS_IIS_DEFAULT 7697601U

#endif
