/* history.h - what was tried: lines appended to a queue file after its end mark
 *
 * Advice for people and for the bounce, not state: a lost or torn tail costs nothing but
 * the story. At most HISTORY_MAX bytes; the oldest lines go first.
 *
 *   s EPOCH TRY HOST ADDRESS RUNG EVENT REPLY what happened on a rung of the ladder
 *   l EPOCH TRY MEMORY PEER FACT UNTIL EVIDENCE what is remembered of a peer (deliver/peers.h):
 *                                             learned in this attempt, or seen and not kept
 *                                             (the disk was full), unlearned, or known before
 *   o EPOCH TRY RECIPIENT VERDICT STATUS HOST REPLY  the outcome for a recipient
 *   r EPOCH TRY ACTION                        the sender was told: delayed
 *
 * Fields are separated by tabs; hostile bytes are escaped as in the log. */
#ifndef QUEUE_HISTORY_H
#define QUEUE_HISTORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "queue/envelope.h"

#define HISTORY_MAX (256 * 1024)
#define HISTORY_FIELDS 8
#define HISTORY_LEARNED "learned"
#define HISTORY_UNKEPT "unkept"
#define HISTORY_UNLEARNED "unlearned"
#define HISTORY_KNOWN "known"

struct history_line {
  char kind; /* s, l, o or r */
  uint64_t time;
  unsigned int attempt;
  size_t n; /* of field */
  const char *field[HISTORY_FIELDS]; /* after TRY; escaped as in the log */
};

/* appends one line to out. 0, or -1 (ENOMEM) */
int history_line_make(stralloc *out, char kind, uint64_t now, unsigned int attempt,
                      const char *const *field, size_t n);
/* appends made lines to the file. 0, or -1 with errno (the caller goes on: it is only the story) */
int history_append(int fd, const struct envelope *e, const stralloc *lines);
/* calls f for each line, oldest first, until it returns non-zero. 0, f's value, or -1. */
int history_each(int fd, const struct envelope *e,
                 int (*f)(void *arg, const struct history_line *l), void *arg);

#endif
