/* address.h - mail addresses of SMTP, parsed and put in normal form
 *
 * Pure. RFC 5321 4.1.2 (Path, Mailbox), RFC 6531 3.3 (UTF-8 in both parts). Hostile
 * bytes come in; what comes out holds no control byte, no NUL, no CR or LF. */
#ifndef COMMON_ADDRESS_H
#define COMMON_ADDRESS_H

#include <stddef.h>
#include <stralloc.h>

#define ADDRESS_LOCAL_MAX 255  /* RFC 5321 4.5.3.1.1 promises 64; rewritten senders (SRS, VERP) need more */
#define ADDRESS_DOMAIN_MAX 255 /* RFC 5321 4.5.3.1.2 */
#define ADDRESS_MAX 320        /* of both together */

struct address {
  stralloc text;       /* "local@domain" or "local" or "" (null path); domain in lower case, local
                          part unquoted where quotes were not needed; NUL-terminated, not counted */
  size_t local_len;    /* bytes of the local part as it stands in text */
  const char *domain;  /* into text, after the @; "" when there is none */
  int is_literal;      /* domain is [..] */
  int is_utf8;         /* holds non-ASCII bytes: needs SMTPUTF8 */
  int had_route;       /* a source route was given (RFC 5321 App. C: ignored) */
};

/* a Reverse-path or Forward-path as it follows MAIL FROM: or RCPT TO: - "<...>", with
 * spaces before it tolerated. *used says how many bytes it took; parameters follow.
 * allow_null: <> is legal. A path without a domain is taken (local_len == text.len) for
 * the caller to complete or refuse. 0; -1 with *why: what was expected. a->text is reused. */
int address_path(const char *s, size_t len, int allow_null, struct address *a, size_t *used,
                 const char **why);
/* a bare address without brackets, as in tables, wire messages and queue files; the same
 * rules. "" is the null address where allow_null. */
int address_parse(const char *s, size_t len, int allow_null, struct address *a, const char **why);

#endif
