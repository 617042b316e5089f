/* received.h - the Received field we put in front of a message
 *
 * Pure. RFC 5321 4.4. Names the client said are hostile: bytes that could end a comment
 * or the field are replaced. */
#ifndef SMTPD_RECEIVED_H
#define SMTPD_RECEIVED_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "common/ip.h"
#include "smtpd/session.h"

#define RECEIVED_MAX 2048

struct received {
  const char *helo;     /* what stands for the client's name (struct hello's name) */
  const char *said;     /* what it said instead, "" when that is the same */
  const char *host;     /* its address's verified name, where that may be told; else NULL */
  const struct ip *ip;
  const char *hostname; /* ours */
  const char *protocol; /* SMTP, ESMTP */
  const char *login;    /* who the client proved to be, where that may be told; else "" or NULL */
  const struct session_tls *tls; /* NULL: in clear */
  const char *id;
  const char *rcpt;     /* the one recipient, or NULL */
  uint64_t time;
};

/* the field with its CR LF in out (replaced), at most RECEIVED_MAX bytes. 0, or -1 (ENOMEM). */
int received_make(stralloc *out, const struct received *r);

#endif
