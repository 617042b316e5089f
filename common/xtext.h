/* xtext.h - xtext, and what stands in it: the parameters ENVID and ORCPT of RFC 3461
 *
 * Pure. The bytes are hostile. */
#ifndef COMMON_XTEXT_H
#define COMMON_XTEXT_H

#include <stddef.h>
#include <stralloc.h>

#define XTEXT_ORCPT_MAX 500 /* bytes of ORCPT, RFC 3461 4.2 */

/* whether s is xtext */
int xtext_is(const char *s, size_t len);
/* decodes to out (replaced; may hold any byte but NUL); -1 when s is none */
int xtext_decode(const char *s, size_t len, stralloc *out);

/* appends an address in ASCII: what is none as \x{HEX} (RFC 6533 3, type utf-8). 0, or -1
 * (ENOMEM) */
int xtext_ascii(stralloc *out, const char *s, size_t len);
/* ORCPT for an address, type and xtext, in out (replaced). 0, or -1 (ENOMEM) */
int xtext_orcpt(stralloc *out, const char *address);

#endif
