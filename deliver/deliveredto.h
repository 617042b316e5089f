/* deliveredto.h - the mark that a forwarded message carries, and loops seen by it. Pure. */
#ifndef DELIVER_DELIVEREDTO_H
#define DELIVER_DELIVEREDTO_H

#include <stddef.h>
#include <stralloc.h>

/* whether the header section at s (the message's first len bytes; it may end anywhere) has
 * a Delivered-To field with this address, in any case */
int deliveredto_has(const char *s, size_t len, const char *address);
/* the field with its CR LF, in out (replaced): 0, or -1 (ENOMEM) */
int deliveredto_field(stralloc *out, const char *address);

#endif
