/* bdat.h - the argument of BDAT (RFC 3030 2)
 *
 * Pure. What cannot be read leaves the framing unknown: nobody can tell then where the next
 * command begins. */
#ifndef SMTPD_BDAT_H
#define SMTPD_BDAT_H

#include <stddef.h>
#include <stdint.h>

/* "size [LAST]"; 0, or -1: not that, or a size beyond 64 bits */
int bdat_parse(const char *arg, size_t len, uint64_t *size, int *is_last);

#endif
