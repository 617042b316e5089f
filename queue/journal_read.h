/* journal_read.h - reading the journal: all of it at a start, one message at a time later
 *
 * Used by the intake, the manager and commands; only reads. The intake may be appending
 * meanwhile: what it has not finished is passed over. */
#ifndef QUEUE_JOURNAL_READ_H
#define QUEUE_JOURNAL_READ_H

#include "queue/flights.h"
#include "queue/journal.h"

enum journal_state {
  JOURNAL_ABSENT,    /* no such file, or one that was never used */
  JOURNAL_GOOD,
  JOURNAL_UNREADABLE /* it exists, and the disk does not give it */
};

struct journal_seen {
  enum journal_state state;
  int is_strange;   /* its head is damaged, and the copy too */
  int is_from_copy; /* its head is damaged; what follows is from the copy */
  int is_cut;       /* the file is shorter than its head says */
  struct journal_segment head;
  uint64_t size; /* of the file */
  size_t end;    /* of its last record */
};

struct journal_replay {
  struct flights live; /* what is left: messages without a later D or F. The caller frees it. */
  struct journal_seen segment[JOURNAL_SEGMENTS];
  /* bytes that were durable and are no record any more; may be NULL */
  void (*lost)(unsigned int segment, const struct journal_segment *head, size_t from,
               const char *bytes, size_t len);
  /* a message that a D ends; may be NULL */
  void (*done)(const char *id);
};

/* reads all segments, oldest first. 0; -1 with errno when one could not be read (the others
 * were) or memory is out. */
int journal_replay(int queue_fd, struct journal_replay *r);
/* where the intake keeps a copy of bytes that were lost, under the queue */
#define JOURNAL_LOST_NAME 64
void journal_lost_name(char name[JOURNAL_LOST_NAME], const struct journal_segment *head, size_t from);
/* reads the image of a queue file from its record and proves it. *image is good until the
 * next call. 0; -1 with errno, EBADMSG when the record is not there. */
int journal_load(int queue_fd, const struct flight *f, const char **image);
/* opens a segment: a descriptor, or -1 with errno */
int journal_open(int queue_fd, unsigned int segment, int flags);

#endif
