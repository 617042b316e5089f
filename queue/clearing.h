/* clearing.h - what transcripts of messages that have left take of the disk, and how they go
 *
 * A directory at a time, and in two readings of it: no message costs a look at any of them. */
#ifndef QUEUE_CLEARING_H
#define QUEUE_CLEARING_H

#include <stdint.h>

#define CLEARING_DIRS 65 /* as transcript.c numbers them */

struct clearing {
  uint64_t before, now; /* epoch: what was last written before `before` goes */
  uint64_t bound;       /* bytes that all directories may take, the oldest files go first; 0: no bound */
  int (*is_queued)(const char *id); /* its file stays and does not count; NULL: files are named in hex
                                       after their beginning, no message's own */
  void (*goes)(const char *name);   /* called before a file is removed; may be NULL */
};

/* clears the directory dirfd, number dir of them. Takes dirfd over. */
void clearing_turn(int dirfd, unsigned int dir, const struct clearing *c);
/* so much was written to a directory since it was last cleared */
void clearing_grew(unsigned int dir, uint64_t bytes);
/* whether all of them, as last seen, take more */
int clearing_is_over(uint64_t bound);

#endif
