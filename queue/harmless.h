/* harmless.h - a stranger's text, made fit for a terminal
 *
 * Pure. Line feeds and tabs stay, CR LF becomes LF, valid UTF-8 stays; control characters, C1 ones
 * and those that turn the direction of writing too, and bytes that are no UTF-8 become \xHH. */
#ifndef QUEUE_HARMLESS_H
#define QUEUE_HARMLESS_H

#include <stddef.h>
#include <stralloc.h>

/* what was held back because more of it may come; zeroed at the beginning */
struct harmless {
  char held[4];
  size_t len;
};

/* appends what s becomes to out. 0, or -1 (ENOMEM) */
int harmless_feed(struct harmless *h, stralloc *out, const char *s, size_t len);
/* the text is at its end */
int harmless_end(struct harmless *h, stralloc *out);

#endif
