/* reply.h - a peer's reply, read piece by piece
 *
 * Pure. The bytes are hostile. RFC 5321 4.2; LADDER.md 3.2 B2, B9-B19, 3.3 E12-E24. Tolerant
 * where that is harmless: bare codes, bare LF, long lines, a few lines without a code. */
#ifndef DELIVER_REPLY_H
#define DELIVER_REPLY_H

#include <stddef.h>
#include <stralloc.h>

#define REPLY_LINES 128      /* lines of one reply */
#define REPLY_LINE 2048      /* bytes kept of a line */
#define REPLY_TEXT 16384     /* bytes kept of a reply */
#define REPLY_BYTES 262144   /* bytes read of a reply */
#define REPLY_GARBAGE 8      /* lines without a code that are skipped */
#define REPLY_STATUS 12      /* room for an enhanced status code */

enum reply_state {
  REPLY_MORE,    /* not at its end yet */
  REPLY_WHOLE,
  REPLY_GARBLED, /* codes differ, too many lines without a code, or a code out of range */
  REPLY_FOREIGN, /* some other protocol, or our own words sent back */
  REPLY_ENDLESS  /* over a bound */
};

struct reply {
  unsigned int code; /* 0 until a line had one */
  size_t lines, garbage, kept, bytes;
  int is_mixed;      /* the codes of its lines differ */
  size_t len;
  char text[REPLY_TEXT + 1]; /* without codes, lines separated by LF, printable ASCII, tab; NUL-terminated */
  size_t line_len;
  char line[REPLY_LINE];
};

/* an empty reply; its text is "" */
void reply_start(struct reply *r);
/* takes bytes up to the end of the reply; returns how many it used */
size_t reply_feed(struct reply *r, const char *s, size_t len, enum reply_state *state);
/* whether anything of it has come */
int reply_has_begun(const struct reply *r);
/* appends it as one line, "550 5.1.1 no such user", at most max bytes. 0, or -1 (ENOMEM) */
int reply_format(stralloc *out, const struct reply *r, size_t max);
/* its enhanced status code, when it has one of its own class: 1; else 0 and out is "" */
int reply_status(const struct reply *r, char out[REPLY_STATUS]);
/* whether it complains of commands that were sent together (X3) */
int reply_names_pipelining(const struct reply *r);
/* whether a 452 or 552 to RCPT can be about the number of recipients, not about this one (RFC 5321
 * 4.5.3.1.10): by its enhanced code, x.5.3, or without one by its words */
int reply_may_be_too_many(const struct reply *r);
/* whether it talks about the name we said (LADDER.md rung N) */
int reply_names_argument(const struct reply *r, const char *name);

#endif
