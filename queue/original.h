/* original.h - the message that a report is about: what of it comes back, and its name */
#ifndef QUEUE_ORIGINAL_H
#define QUEUE_ORIGINAL_H

#include <stdint.h>
#include <stralloc.h>

#include "queue/envelope.h"

#define ORIGINAL_HEADER_MAX (256 * 1024) /* bytes of a header that come back */
#define ORIGINAL_FRAME 32000

struct original {
  int fd; /* the queue file */
  const struct envelope *e;
  uint64_t header; /* bytes of the header with the empty line, whole lines, at most
                      ORIGINAL_HEADER_MAX */
  stralloc message_id; /* "<...>", NUL-terminated, or "": there is none that could be quoted */
};

/* reads the header. 0, or -1 with errno; original_free() either way */
int original_open(struct original *o, int fd, const struct envelope *e);
void original_free(struct original *o);
/* the message's bytes up to `end`, in pieces of at most ORIGINAL_FRAME. 0; -1 with errno,
 * or when f did not return 0 */
int original_each(const struct original *o, uint64_t end, int (*f)(void *arg, const char *s, size_t len),
                  void *arg);

#endif
