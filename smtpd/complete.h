/* complete.h - where a header section ends, and the fields it lacks
 *
 * Pure; constant memory; any chunking gives the same result. A message goes through in wire
 * form. What is wanted and not there comes at the header section's end (RFC 6409 8). A first
 * line that is no header field begins the body: an empty line is put before it, or it would go
 * on where our Received field ends. */
#ifndef SMTPD_COMPLETE_H
#define SMTPD_COMPLETE_H

#include <stddef.h>

#define COMPLETE_HOLD 100       /* bytes of a field's name, and white space behind it */
#define COMPLETE_FIELD_MAX 1000 /* bytes of one field that is put in */
#define COMPLETE_ROOM (COMPLETE_HOLD + 3 * COMPLETE_FIELD_MAX + 4)

enum complete_number { COMPLETE_DATE, COMPLETE_MESSAGE_ID, COMPLETE_FROM, COMPLETE_FIELDS };

/* the fields to put in, each with its name and CR LF; all NULL: nothing is put in, and only the
 * first line is looked at */
struct complete_texts {
  const char *field[COMPLETE_FIELDS];
};

/*   LINE   at a line's start
 *   NAME   in what may be a field's name; it is held back
 *   BLANK  a CR at a line's start is held back
 *   REST   in a line that is settled
 *   BODY   all that follows is passed on */
enum complete_state { COMPLETE_LINE, COMPLETE_NAME, COMPLETE_BLANK, COMPLETE_REST, COMPLETE_BODY };

/* all zeroes is the beginning */
struct complete {
  enum complete_state state;
  int is_later;        /* this is not the first line */
  unsigned int seen;   /* bits by enum complete_number */
  size_t held, name;   /* bytes in hold; of them, the name without white space behind it */
  char hold[COMPLETE_HOLD];
};

/* passes in[0..len) on to out, which has room for len + COMPLETE_ROOM; returns the bytes written */
size_t complete_scan(struct complete *c, const struct complete_texts *t, const char *in, size_t len,
                     char *out);
/* the message's end: what is held back, and the fields if the header section has not ended.
 * out has COMPLETE_ROOM. */
size_t complete_end(struct complete *c, const struct complete_texts *t, char *out);

#endif
