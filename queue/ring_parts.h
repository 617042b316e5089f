/* ring_parts.h - what the files of journal_ring.h share, and nobody else uses
 *
 * In the intake two threads share the ring; all that both touch is under ring.lock, but for the
 * bytes of a group, which only the committing thread writes, in a place it has reserved. A
 * write or flush that failed is never believed nor tried again: the segment is left behind,
 * its messages are refused, its notes are written again elsewhere. */
#ifndef QUEUE_RING_PARTS_H
#define QUEUE_RING_PARTS_H

#include <pthread.h>
#include <time.h>

#include "queue/journal_ring.h"

#define RING_MAKE_AGAIN 10 /* seconds after a segment could not be made */

struct ring_segment {
  int fd; /* -1: not open */
  struct journal_segment head;
  uint64_t size; /* of the file; 0: there is none */
  int is_unreadable;
  int is_dirty;  /* notes in it are not flushed */
};

/* a note that is not durable yet */
struct ring_note {
  enum journal_type type; /* 0: nothing to write, only to confirm */
  char id[STORE_ID_LEN + 1];
  uint64_t seq;
};

extern struct ring_state {
  pthread_mutex_t lock;
  int queue_fd;
  struct ring_segment segment[JOURNAL_SEGMENTS];
  int current; /* that is appended to; -1: none yet */
  unsigned int last; /* the one with the greatest epoch */
  uint64_t epoch;
  size_t at, flushed; /* in the current one */
  int is_broken;      /* it is left behind */
  struct flights live;
  int is_on, is_held;
  uint64_t size;       /* that new segments get; 0: no room for a journal */
  uint64_t size_wanted; /* the setting it follows */
  time_t size_at;      /* when the free space was looked at */
  time_t failed_at;    /* making one */
  struct ring_note *note; /* bound: what the manager sends, two for each live message */
  size_t notes_room;
  uint64_t first, notes, written, durable; /* counted since the start: note[0] is number `first`,
                                              and those numbered below the others are there,
                                              written, durable */
} ring;

/* what follows is called with the lock held */

/* ---- ring_segments.c */

unsigned int ring_after(unsigned int i);
int ring_is_free(unsigned int i);
int ring_is_made(unsigned int i);
/* whether len bytes more go into the current one */
int ring_fits(size_t len);
/* goes on with the next segment, which is free and made. 0, or -1 with errno */
int ring_go_on(void);
/* makes the next segment ready; lets the lock go meanwhile. 0, or -1. The committing thread's, or a
 * command's */
int ring_make_next(void);
/* whether the committing thread should make one now */
int ring_wants_segment(void);
/* switched off, and nothing in it is needed */
int ring_is_useless(void);
/* flushes notes, and segment `also` (-1: none), in which a group was written; lets the lock go
 * meanwhile. 0, or the errno */
int ring_flush_with(int also);

/* ---- ring_notes.c */

void ring_add_note(enum journal_type type, const char *id, uint64_t seq);
/* writes the next notes, as many as fit into one segment. 0; -1: they have to wait */
int ring_write_notes(void);
/* those that are only to be confirmed: there is nothing to write, and nothing before them waits */
void ring_pass_empty_notes(void);

#endif
