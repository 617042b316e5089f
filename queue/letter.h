/* letter.h - text of a message we write: lines of printable ASCII, or UTF-8, whatever is put in
 *
 * Pure. Text is in wire form: lines end with CR LF. The first failure (ENOMEM) sticks. */
#ifndef QUEUE_LETTER_H
#define QUEUE_LETTER_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

struct letter {
  stralloc *out;
  int is_utf8; /* bytes that are not ASCII may stand in it, where they are UTF-8 */
  int failed;
};

/* our own words, as they are */
void letter_add(struct letter *l, const char *s);
void letter_line(struct letter *l, const char *s);
/* one line of printable characters, whatever s holds: "?" for others; no line end */
void letter_plain(struct letter *l, const char *s, size_t len);
/* the words of s from column `col` on, as lines that begin with indent; a line end */
void letter_folded(struct letter *l, size_t col, const char *indent, const char *s);
/* a header field: name with its colon and space */
void letter_field(struct letter *l, const char *name, const char *value);
void letter_date(struct letter *l, const char *name, uint64_t epoch);
/* a paragraph of words with each $ replaced by the next argument, every line begins with indent */
void letter_say(struct letter *l, const char *indent, const char *words, ...)
  __attribute__((sentinel));

#endif
