/* parameter.h - 8-bit values of MIME parameters, spelled in ASCII */
#ifndef DELIVER_PARAMETER_H
#define DELIVER_PARAMETER_H

#include <stddef.h>
#include <stralloc.h>

/* appends a Content-Type or Content-Disposition field; parameters whose values hold 8-bit
 * bytes become extended ones (RFC 2231 3, 4): name="ä" is name*=utf-8''%C3%A4, or
 * unknown-8bit when it is no UTF-8. Where the sender gave the extended one too, or the value
 * is malformed, the bytes become question marks; and elsewhere, but in comments. A boundary
 * stays. Pure. 0, or -1 (ENOMEM). */
int parameter_field(stralloc *out, const char *field, size_t len);

/* length of what comes before the next ";" outside quotes and comments. *is_open is 0 for a
 * field's first call; it becomes 1 at a comment that never closes: from there on there are none */
size_t parameter_span(const char *s, size_t len, int *is_open);

#endif
