/* eightbit.h - what becomes of 8-bit content and over-long lines at one peer
 *
 * Pure. RFC 6152 3: a peer without 8BITMIME gets 7-bit MIME. A signature (RFC 6376) does not
 * survive that, so for signed messages the setting eightbit-signed decides. RFC 2045 2.7, 2.8:
 * lines over 998 bytes are neither 7-bit nor 8-bit data, whatever the peer offers. */
#ifndef COMMON_EIGHTBIT_H
#define COMMON_EIGHTBIT_H

#include <stddef.h>

#define EIGHTBIT_LINE_MAX 998 /* RFC 5322 2.1.1, without CR LF */

/* setting eightbit-signed */
enum eightbit_policy { EIGHTBIT_OTHER_MX, EIGHTBIT_CONVERT, EIGHTBIT_SEND, EIGHTBIT_BOUNCE };
/* 0, or -1 when it is no such word */
int eightbit_policy_read(const char *s, size_t len, enum eightbit_policy *p);

enum eightbit_form {
  FORM_AS_IS,
  FORM_SHORT_LINES, /* parts with over-long lines are encoded */
  FORM_7BIT,        /* parts with 8-bit bytes or over-long lines are encoded */
  FORM_8BIT_BARE,   /* as it is, though nobody offered 8BITMIME */
  FORM_LATER,       /* not here yet: other hosts first */
  FORM_BARRED       /* not here at all */
};

struct eightbit_case {
  int has_8bit, has_long_lines, is_signed; /* the message */
  int is_offered;                          /* 8BITMIME, here */
  int has_others;                          /* hosts that may offer it, and time to return */
  enum eightbit_policy policy;
};

enum eightbit_form eightbit_choose(const struct eightbit_case *c);
/* a sentence: what was chosen and why; "" when there was nothing to choose */
const char *eightbit_reason(const struct eightbit_case *c);

#endif
