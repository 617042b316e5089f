/* knows.h - does a local user exist? Questions to heloise-auth
 *
 * heloise-auth is more trusted than we are: what it says against the protocol ends this
 * program. */
#ifndef SMTPD_KNOWS_H
#define SMTPD_KNOWS_H

#include <stdint.h>

#include "common/loop.h"
#include "common/verdict.h"
#include "common/wire.h"

/* one question; zeroes and answer are its beginning */
struct knows {
  struct loop_timer timer; /* first */
  /* V_OK it exists, V_PERM it does not, V_TEMP nobody can tell now */
  void (*answer)(struct knows *k, enum verdict v, const char *reason);
  uint64_t number;
  int is_waiting;
};

/* asks: 0, answer() follows; -1: nobody to ask now */
int knows_ask(struct knows *k, const char *address);
/* forgets the question */
void knows_drop(struct knows *k);

/* for userslink.c: an answer came; the channel is gone, and all that was asked on it */
int knows_message(struct wire_msg *m, const char **why);
void knows_lose_all(void);

#endif
