/* backend.h - what can tell whether a login is who it says: one table, one file each
 *
 * heloise-auth asks them in the order of setting auth-backends. */
#ifndef SMTPD_BACKEND_H
#define SMTPD_BACKEND_H

#include <stddef.h>

#include "common/sasl.h"
#include "smtpd/proof.h"

struct backend {
  /* what it can do now; 0: nothing (it has no users, it cannot be reached) */
  unsigned int (*mechanisms)(void);
  /* asks about p->login and p->password: 0, proof_answer() follows, later or at once; -1: it
   * cannot be asked now */
  int (*password)(struct proof *p);
};

extern const struct backend backend_users, backend_pam, backend_dovecot;

/* the n-th of the setting, NULL beyond the last */
const struct backend *backend_at(size_t n);
/* whether the setting names it */
int backend_is_used(enum backend_name b);
/* what clients may be offered: what all of them can do (a login is known to one of them, and
 * a client takes the first mechanism that it likes), or, if it is not empty, what setting
 * auth-mechanisms says and any of them can do for some of its logins */
unsigned int backend_mechanisms(void);

#endif
