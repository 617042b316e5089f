/* owner.h - whose an instance is
 *
 * An instance that belongs to an ordinary user is worked on as that user alone, also when
 * root does it: nothing in its directories can then lead root astray. */
#ifndef CONF_OWNER_H
#define CONF_OWNER_H

#include "common/instance.h"

/* as root, for an ordinary user's instance: becomes that user for good. 0; -1 after a
 * complaint on standard error. Nothing happens when the instance is not there yet. */
int owner_become(const struct instance *i);

#endif
