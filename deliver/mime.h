/* mime.h - what a MIME entity's header says about its body
 *
 * Pure. RFC 2045 5, 6; RFC 2046 5.1. Values are hostile: whatever does not parse is a
 * leaf of unknown encoding. */
#ifndef DELIVER_MIME_H
#define DELIVER_MIME_H

#include <stddef.h>

#define MIME_BOUNDARY_MAX 200 /* RFC 2046 says 70; senders say more */

enum mime_kind { MIME_LEAF, MIME_TEXT, MIME_MULTIPART, MIME_MESSAGE };
enum mime_cte { CTE_NONE, CTE_7BIT, CTE_8BIT, CTE_BINARY, CTE_QP, CTE_BASE64, CTE_UNKNOWN };

struct mime {
  enum mime_kind kind;
  enum mime_cte cte;
  int has_type, has_cte, has_version;
  int is_digest; /* multipart/digest: its parts are messages unless they say else */
  int is_signed; /* multipart/signed (RFC 1847): a changed byte breaks it */
  size_t boundary_len; /* 0: none that can be used */
  char boundary[MIME_BOUNDARY_MAX];
};

/* notes one header field, given whole; the first of a name counts */
void mime_field(struct mime *m, const char *field, size_t len);
/* the field Content-Transfer-Encoding with its CR LF; not for CTE_NONE, CTE_UNKNOWN */
const char *mime_cte_field(enum mime_cte c);
/* whether the encoding is none at all: the body is what its bytes are */
int mime_is_identity(enum mime_cte c);

/* whether the line (with or without CR LF) is a delimiter of this boundary: 1, 2 for the
 * closing one, 0 no */
int mime_delimiter(const struct mime *m, const char *line, size_t len);

#endif
