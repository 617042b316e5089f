/* identity.h - who calls sendmail(8), and what completes addresses
 *
 * From the system's user database, the instance's tables, /etc/mailname, the host's name;
 * nothing from the environment but NAME, a text for From. */
#ifndef QUEUE_IDENTITY_H
#define QUEUE_IDENTITY_H

#include <stdint.h>
#include <stralloc.h>

#include "common/instance.h"

struct identity {
  stralloc domain;     /* for addresses without one */
  stralloc address;    /* user@domain */
  stralloc full_name;  /* may be empty */
  uint64_t size_limit; /* of a message; 0: not known here */
};

/* fills id for the real user. full_name may be NULL: then $NAME, else what the user
 * database says. 0, or -1 (ENOMEM). Texts are NUL-terminated. */
int identity_find(struct identity *id, const struct instance *i, const char *full_name);

#endif
