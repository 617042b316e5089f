/* dovecot.h - our connection to Dovecot's authentication service
 *
 * A stream socket in the file system, setting auth-dovecot, kept open while setting
 * auth-backends names dovecot. Many requests at once. What it offers is remembered while it
 * is away: clients are then asked to come again, rather than told that there is no AUTH. */
#ifndef SMTPD_DOVECOT_H
#define SMTPD_DOVECOT_H

#include <stdint.h>

#include "common/sasl.h"
#include "common/loop.h"
#include "smtpd/proof.h"

/* one request; zeroes and ops are its beginning */
struct dovecot_request {
  struct loop_timer timer; /* first */
  const struct dovecot_ops *ops;
  void *owner;
  uint32_t id; /* 0: none is under way */
  struct dovecot_request *next;
};

struct dovecot_ops {
  /* the client is to be asked this (raw); dovecot_continue() follows, or dovecot_cancel() */
  void (*challenge)(struct dovecot_request *r, const char *bytes, size_t len);
  /* it is over; login is what Dovecot calls the user, as sasl_login() makes it, and empty unless
   * it is PROOF_YES */
  void (*over)(struct dovecot_request *r, enum proof_result result, const char *login);
};

/* the settings are loaded, or new: connects where they say */
void dovecot_settle(void);
/* what it can do, of what we can relay */
unsigned int dovecot_mechanisms(void);

/* 0, and one of ops follows; -1: it is not there. bytes is the initial response, raw. */
int dovecot_start(struct dovecot_request *r, enum mechanism m, const struct proof_client *who,
                  const char *bytes, size_t len);
/* 0; -1: the connection was lost meanwhile, and with it the request */
int dovecot_continue(struct dovecot_request *r, const char *bytes, size_t len);
/* forgets it; nothing of ops is called any more */
void dovecot_cancel(struct dovecot_request *r);

#endif
