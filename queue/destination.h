/* destination.h - where a recipient's mail goes, by the tables */
#ifndef QUEUE_DESTINATION_H
#define QUEUE_DESTINATION_H

#include <stralloc.h>

#include "common/route.h"
#include "common/table.h"

/* the next hop for an address, and its text form in text (replaced). HOP_ERROR's text points
 * into the tables or is constant. rule (may be NULL) gets a sentence on what decided. 0, or
 * -1 (ENOMEM). */
int destination_of(const struct table *t, const char *address, struct nexthop *hop, stralloc *text,
                   stralloc *rule);

#endif
