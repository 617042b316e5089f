/* encodedword.h - 8-bit bytes of a header field as encoded words
 *
 * Pure. RFC 2047 (where they may stand: 5; their length: 2), RFC 1428 (charset of bytes
 * that nobody named), RFC 6532. The field is hostile. */
#ifndef DELIVER_ENCODEDWORD_H
#define DELIVER_ENCODEDWORD_H

#include <stddef.h>
#include <stralloc.h>

/* appends the field, which ends with CR LF, with encoded words for its 8-bit text: in
 * unstructured fields everywhere, in address fields in display names and comments, in
 * other structured fields in comments. 8-bit bytes elsewhere become question marks, but in
 * addresses, which have no other spelling, and parameters (parameter.h) they stay. Lines with
 * encoded words are folded where there is white space. What needs no change is copied byte for
 * byte, so that a second run changes nothing. 0, or -1 (ENOMEM). */
int encodedword_field(stralloc *out, const char *field, size_t len);

#endif
