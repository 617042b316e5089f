/* scram.h - the server's side of one SCRAM-SHA-256 exchange
 *
 * GNU SASL does it: SCRAM-SHA-256, and -PLUS with tls-exporter (RFC 9266) or tls-unique
 * (RFC 5929). What the client sends is hostile bytes. No sockets, no clock. */
#ifndef SMTPD_SCRAM_H
#define SMTPD_SCRAM_H

#include <stddef.h>
#include <stralloc.h>

#include "smtpd/password.h"

enum scram_result {
  SCRAM_MORE,      /* out goes to the client, and its answer into the next step */
  SCRAM_DONE,      /* it has proved itself; out, the server's proof, goes to it */
  SCRAM_WRONG,     /* it has not */
  SCRAM_MALFORMED, /* that is no SCRAM */
  SCRAM_DECLINED,  /* keys() wanted no part in it */
  SCRAM_FAILED     /* memory is out */
};

struct scram {
  /* the keys of a login (NUL-terminated, as the client wrote it). 0, or -1: not ours to do */
  int (*keys)(void *arg, const char *login, struct password_scram *keys);
  void *arg;
  const char *exporter, *unique; /* what binds it to the TLS session, in base64; NULL: nothing */
  void *session;                 /* of the library */
  int is_bound, is_declined, has_begun;
  struct password_scram found;
};

/* once, before confinement: 0, or -1 */
int scram_library(void);

/* fields above `session` are set; texts outlive the exchange. 0, or -1 */
int scram_start(struct scram *s, int is_bound);
/* takes what the client sent; out is replaced */
enum scram_result scram_step(struct scram *s, const char *bytes, size_t len, stralloc *out);
/* whom it acts as (authzid); NULL when it names nobody */
const char *scram_acts_as(const struct scram *s);
/* harmless when it was not started, or is ended */
void scram_end(struct scram *s);

#endif
