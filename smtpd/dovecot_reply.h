/* dovecot_reply.h - lines of Dovecot's authentication service
 *
 * Pure. Dovecot's "Authentication Protocol", version 1.2: words with tabs between. */
#ifndef SMTPD_DOVECOT_REPLY_H
#define SMTPD_DOVECOT_REPLY_H

#include <stddef.h>
#include <stdint.h>

enum dovecot_word { DOVECOT_VERSION, DOVECOT_MECH, DOVECOT_DONE, DOVECOT_OK, DOVECOT_CONT, DOVECOT_FAIL, DOVECOT_OTHER };

struct dovecot_reply {
  enum dovecot_word word;
  uint32_t id;       /* of OK, CONT, FAIL: the request */
  const char *value; /* of VERSION the major number, of MECH the name, of CONT base64, of OK the user; may be empty */
  size_t valuelen;
  int is_temporary;  /* of FAIL */
};

/* a line without its end: 0, or -1 when it is none of the protocol's */
int dovecot_reply_read(const char *line, size_t len, struct dovecot_reply *r);

#endif
