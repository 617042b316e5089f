/* archive.h - messages in a file, to be moved to another host
 *
 *   heloise-archive 1 HOSTNAME EPOCH
 *   m ID STATE NEXT LENGTH          a message: LENGTH bytes follow, as its file in the queue
 *   = SUM
 *   t ID LENGTH                     what was said in its attempts, as in queue/transcript
 *   = SUM
 *   e RECORDS SUM                   the end
 *
 * STATE is new, cur or hold, NEXT the time of the next attempt in 8 hexadecimal digits, LENGTH
 * decimal, SUM 16 hexadecimal digits: XXH3 of a record's line and bytes, at the end of all that
 * stands before. Pure; what is read is hostile. */
#ifndef QUEUE_ARCHIVE_H
#define QUEUE_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "queue/store.h"

#define ARCHIVE_LINE 512 /* bytes of a line at most */

/* ---- making */

/* each replaces out with a line. 0, or -1 (ENOMEM) */
int archive_head(stralloc *out, const char *hostname, uint64_t now);
int archive_message(stralloc *out, const struct store_name *n, uint64_t len);
int archive_transcript(stralloc *out, const char *id, uint64_t len);
int archive_sum(stralloc *out, uint64_t sum);

/* ---- reading */

struct archive_record {
  char kind;              /* m or t */
  struct store_name name; /* of t: the id only */
  uint64_t len;
};

struct archive_ops {
  /* each returns 0, or -1 to stop */
  int (*begin)(void *arg, const struct archive_record *r);
  int (*data)(void *arg, const char *s, size_t len);
  int (*end)(void *arg, int is_whole /* its sum is right */);
};

struct archive_reader;

/* NULL: ENOMEM */
struct archive_reader *archive_open(const struct archive_ops *ops, void *arg);
/* takes bytes. 0; -1: no archive, or a callback stopped it, with *why (NULL when a callback did) */
int archive_feed(struct archive_reader *r, const char *s, size_t len, const char **why);
/* whether all of it was there: 0, or -1 with *why */
int archive_finish(const struct archive_reader *r, const char **why);
void archive_close(struct archive_reader *r);
/* the line that ends what was read so far: for who writes while reading. 0, or -1 (ENOMEM) */
int archive_tail(const struct archive_reader *r, stralloc *out);

#endif
