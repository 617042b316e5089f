/* envelope.h - the envelope block of a queue file
 *
 * heloise-queue-format(5) describes the file. In short:
 *
 *   head line     fixed width: version, flags, lengths, longest line, checksum
 *   i ID / t EPOCH / s SENDER / v ENVID / d RET / o FLAGS / c CLIENT / h HELO / p PROTOCOL
 *   r S AAAACNNNNNNNN NOTIFY ORCPT ADDRESS     one per recipient; S AAAACNNNNNNNN change in place
 *   (empty line)
 *   the message, exactly as long as the head says, CR LF line ends, not dot-stuffed
 *   heloise-end
 *   history lines (history.h), appended by attempts
 *
 * A file is hostile until parsed: a disk may lie. envelope_parse() is pure. */
#ifndef QUEUE_ENVELOPE_H
#define QUEUE_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>
#include <sys/types.h>

#define ENVELOPE_ID_MAX 31
#define ENVELOPE_MAX (64 * 1024 * 1024) /* bytes of the block: 100,000 recipients fit */
#define ENVELOPE_END "heloise-end\n"

/* what the content is: letters in the head line, set at commit */
enum envelope_content {
  CONTENT_8BIT_HEADER = 1, /* H */
  CONTENT_8BIT_BODY = 2,   /* B */
  CONTENT_DOT_LINE = 4,    /* D: some line starts with a dot */
  CONTENT_LOOP = 8,        /* L: has received-limit hops behind it; fails at once */
  CONTENT_TOO_BIG = 16     /* Z: over message-size-limit; fails at once */
};

/* what was agreed with the client: letters in line o and in WIRE_BEGIN */
enum envelope_flag {
  ENVELOPE_8BITMIME = 1,     /* b: BODY=8BITMIME, or 8-bit content */
  ENVELOPE_SMTPUTF8 = 2,     /* u */
  ENVELOPE_RELAYED = 4,      /* r: the client was allowed to relay */
  ENVELOPE_REPORT = 8,       /* n: a failure report made by heloise-bounce */
  ENVELOPE_HOLD = 32,        /* h: table access holds it, before its first attempt */
  ENVELOPE_DOUBLE = 16       /* d: a report about a report: failing again, it is dropped */
};

enum rcpt_status {
  RCPT_TODO = 'T', /* or W: the sender was told of the delay */
  RCPT_DONE = 'D',
  /* done, and the sender, who asked for it, is not yet told (notify.h) */
  RCPT_DELIVERED = 'M',
  RCPT_RELAYED = 'P',
  RCPT_EXPANDED = 'X',
  RCPT_FAILED = 'F',  /* failed for good, the sender not yet told */
  RCPT_BOUNCED = 'B'  /* failed for good, the report is queued, or no one wants one */
};

struct envelope_rcpt {
  enum rcpt_status status;
  unsigned int attempts; /* up to 65535 */
  uint64_t next;         /* epoch of its next attempt; 0: now */
  const char *address, *notify /* "" if not given */, *orcpt /* xtext with type, "" */;
  off_t at;              /* where its line begins in the file */
  int is_warned;         /* the sender was told that the message is late for it */
};

struct envelope {
  const char *id, *sender, *envid /* xtext, "" */, *ret /* "", FULL, HDRS */, *client, *helo,
    *protocol;
  uint64_t created;
  unsigned int flags;   /* enum envelope_flag */
  unsigned int content; /* enum envelope_content */
  unsigned int longest; /* longest line of the message */
  off_t body_at;        /* the message begins here */
  uint64_t body_len;
  off_t history_at;     /* after the end mark */
  uint64_t checksum;
  size_t nrcpt;
  size_t doubtful; /* recipients whose mark is damaged: they count as still to do */
  struct envelope_rcpt *rcpt;
  char *block; /* the strings' home */
};

/* reads and checks the envelope of an open queue file, its length and end mark; not the
 * checksum. 0; -1 with *why (not a complete message) and errno EBADMSG, or another errno
 * for a failing read. Free with envelope_free(). Uses pread only. */
int envelope_read(int fd, struct envelope *e, const char **why);
/* reads the whole file, compares the checksum, and looks that no more follows than a history can
 * be: 0, or -1 as envelope_read() */
int envelope_verify(int fd, const struct envelope *e, const char **why);
void envelope_free(struct envelope *e);
/* gives the message in a file another id of the same length: writes it, and the new checksum. 0, or
 * -1 with errno. Not flushed; e stays as it was read. */
int envelope_rename(int fd, const struct envelope *e, const char *id);

/* parses a block that begins at buf and holds at least the envelope; takes a copy */
int envelope_parse(const char *buf, size_t len, struct envelope *e, const char **why);

/* rewrites the changing part of recipient i's line from e->rcpt[i]. 0, or -1 with errno.
 * Not flushed. */
int envelope_mark(int fd, const struct envelope *e, size_t i);
/* the same for all recipients, in the image of a queue file that lies in memory */
void envelope_mark_all(char *image, const struct envelope *e);

/* whether nothing is left to do for it, not even to tell the sender */
int envelope_is_closed(enum rcpt_status s);
/* domain of an address: after the last @; "" when there is none */
const char *envelope_domain(const char *address);

/* ---- for the intake, which makes the file */

struct envelope_new {
  const char *id, *sender, *envid, *ret, *client, *helo, *protocol;
  uint64_t created;
  unsigned int flags;
};
/* begins a block in out (replaced): head line with blanks and the single lines */
int envelope_begin(stralloc *out, const struct envelope_new *n);
int envelope_add_rcpt(stralloc *out, const char *address, const char *notify, const char *orcpt);
int envelope_finish(stralloc *out); /* the empty line */
/* writes the head line of a block of env_len bytes into head (ENVELOPE_HEAD bytes) */
#define ENVELOPE_HEAD 80
#define ENVELOPE_HEAD_SUMMED 51 /* of it, the part before the checksum */
struct envelope_sum {
  uint64_t env_len, body_len, checksum;
  unsigned int content, longest;
};
void envelope_head(char head[ENVELOPE_HEAD], const struct envelope_sum *s);
/* the checksum is XXH3 over the block (as made, all recipients in their first state, without
 * the head line), the message, and the first ENVELOPE_HEAD_SUMMED bytes of the head line. */

/* letters to bits and back, for line o and WIRE_BEGIN: unknown letters give -1 */
int envelope_flags_read(const char *s, size_t len, unsigned int *flags);
size_t envelope_flags_write(char out[16], unsigned int flags);

#endif
