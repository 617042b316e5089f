/* spoken.h - what is said between an attempt and its peers, kept as lines
 *
 * One line of text for each line either side says, as queue/dialogue.h describes. Bounded:
 * SPOKEN_SESSION bytes a connection, SPOKEN_ALL an attempt; long lines and replies are cut. The
 * message itself is a number of bytes, and what follows AUTH is not kept. A NULL struct spoken,
 * or one that was not started, keeps nothing. */
#ifndef DELIVER_SPOKEN_H
#define DELIVER_SPOKEN_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "deliver/conn.h"

#define SPOKEN_SESSION 16384
#define SPOKEN_ALL 65536
#define SPOKEN_LINE 500     /* bytes kept of a line, before they are escaped */
#define SPOKEN_REPLY 40     /* lines kept of a reply */
#define SPOKEN_FRAME 24000  /* lines are passed on in pieces not much longer */

struct spoken {
  int is_on;
  void (*live)(const char *line, size_t len); /* gets each line at once; NULL: nobody */
  int sock;        /* of REPORT: where lines go when there are many; -1: they all stay here */
  uint64_t start;  /* conn_clock() */
  stralloc text;   /* lines not passed on yet; bound: SPOKEN_ALL */
  size_t session, all; /* bytes so far */
  int is_cut;      /* the session has reached its bound, and this was said */
  int is_data;     /* what we write is the message */
  uint64_t data;   /* its bytes so far */
  int is_secret;   /* AUTH was said and is not over */
  size_t lines;    /* of the reply being read */
  size_t len, left_out; /* of the peer's line being read: bytes kept, bytes dropped */
  char line[SPOKEN_LINE];
};

void spoken_start(struct spoken *s, int sock);
void spoken_free(struct spoken *s);
/* another connection begins */
void spoken_session(struct spoken *s, const char *host, const char *address, unsigned int port);
/* a connection that is there already goes on */
void spoken_taken_over(struct spoken *s, const char *host, const char *address, unsigned int port,
                       const char *what);
/* something happened */
void spoken_note(struct spoken *s, const char *what);
/* we said these bytes: whole lines, or a piece of the message between spoken_data() */
void spoken_said(struct spoken *s, const char *bytes, size_t len);
void spoken_data(struct spoken *s, int is_data);
/* the peer said these bytes; then its reply was over, or what else was seen */
void spoken_heard(struct spoken *s, const char *bytes, size_t len);
void spoken_over(struct spoken *s, enum saw saw);

#endif
