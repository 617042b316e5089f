/* dialogue.h - what was said in an attempt: the text of a transcript
 *
 * Pure. A record is a head line and the lines of one attempt:
 *
 *   = ID EPOCH ATTEMPT NEXTHOP
 *   MS S TEXT     the peer said it, MS milliseconds after the attempt began
 *   MS C TEXT     we said it
 *   MS * TEXT     something happened: a connection, its end, the message
 *
 * TEXT is escaped as in the log. Lines come from attempts, which have talked to strangers:
 * dialogue_check() says whether they are well-formed. */
#ifndef QUEUE_DIALOGUE_H
#define QUEUE_DIALOGUE_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#define DIALOGUE_PEER 'S'
#define DIALOGUE_US 'C'
#define DIALOGUE_EVENT '*'
#define DIALOGUE_LINE 2200   /* bytes of a line at most */
#define DIALOGUE_MAX 100000  /* bytes of one attempt's lines at most */

struct dialogue_attempt {
  const char *id; /* in a record that is read: of STORE_ID_LEN bytes at most 31, NUL-terminated */
  uint64_t time;
  unsigned int number;
  const char *nexthop;
};

struct dialogue_line {
  uint64_t ms;
  char who;
  const char *text; /* escaped */
};

/* whether these are lines of a dialogue, the last one with its line feed: 0, or -1 */
int dialogue_check(const char *s, size_t len);
/* appends a record's head line. 0, or -1 (ENOMEM) */
int dialogue_head(stralloc *out, const struct dialogue_attempt *a);

struct dialogue_reader {
  /* each returns 0, or non-zero to stop */
  int (*attempt)(void *arg, const struct dialogue_attempt *a);
  int (*line)(void *arg, const struct dialogue_line *l);
  void *arg;
};
/* reads records; those of other messages than id are passed over, as are lines that are
 * none. 0, or what the reader returned. */
int dialogue_each(const char *s, size_t len, const char *id, const struct dialogue_reader *r);

#endif
