/* journal.h - the journal's form on disk: segments of records, made and taken apart
 *
 * In front of the queue's directories stands a ring of segment files, queue/journal/0 to 7,
 * of equal size. A message of ordinary size is appended to one and made durable with its
 * whole group by one flush; it becomes a file only if its first attempt does not settle it.
 *
 *   segment   a head of JOURNAL_HEAD bytes, then records, each at a multiple of 8
 *   head      magic, epoch (one more than the greatest ever), salt (chance), size; a sum
 *   record    JOURNAL_RECORD bytes, then the payload; what lies between records is anything
 *
 *   M  a message: its payload is a queue file, from head line to end mark (envelope.h)
 *   D  message ID is done with        F  message ID is a file now
 *
 * The sums of a record are made with its segment's salt. So what an earlier use of the file
 * left behind a torn tail is never taken for mail, nor is what a stranger wrote into a
 * message to look like a record: he cannot know the salt.
 *
 * Segments are used again strictly in the order of the ring, so a D or F outlives the M that
 * it ends. journal_ring.h writes, journal_read.h reads. All numbers are little-endian. */
#ifndef QUEUE_JOURNAL_H
#define QUEUE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "queue/store.h"

#define JOURNAL_SEGMENTS 8
#define JOURNAL_HEAD 4096
#define JOURNAL_RECORD 48
#define JOURNAL_SEGMENT_MIN (32 * 1024)
#define JOURNAL_SEGMENT_MAX (512 * 1024 * 1024)

enum journal_type { JOURNAL_MESSAGE = 'M', JOURNAL_DONE = 'D', JOURNAL_FILED = 'F' };

struct journal_segment {
  uint64_t epoch; /* 0: never used */
  uint64_t salt, size;
};

struct journal_record {
  enum journal_type type;
  char id[STORE_ID_LEN + 1];
  uint32_t len;     /* of the payload; 0 but for messages */
  uint32_t flushed; /* so far the segment was durable when this was written */
};

void journal_head_make(char head[JOURNAL_HEAD], const struct journal_segment *s);
/* 0; -1: not a segment's head */
int journal_head_read(const char head[JOURNAL_HEAD], struct journal_segment *s);

/* bytes that a record with len bytes of payload takes */
size_t journal_record_size(size_t len);
/* makes a record's head for a payload that lies in n pieces */
void journal_record_make(char out[JOURNAL_RECORD], const struct journal_segment *s,
                         const struct journal_record *r, const struct iovec *piece, int n);
/* looks for a record at buf. 1: a whole one; 0: its payload is torn; -1: there is none */
int journal_record_read(const char *buf, size_t len, const struct journal_segment *s,
                        struct journal_record *r);

struct journal_reader {
  /* a whole record at that offset in the segment */
  void (*record)(void *arg, const struct journal_record *r, size_t at);
  /* bytes that were durable and are no record any more: the disk lost them. Called after all
   * records; may be NULL */
  void (*lost)(void *arg, size_t from, size_t to);
  void *arg;
};
/* reads a segment that lies in memory, head included. What is torn is passed over: whatever
 * is whole behind it counts. Returns where the last record ends. Pure. */
size_t journal_parse(const char *buf, size_t len, const struct journal_segment *s,
                     const struct journal_reader *r);

#endif
